//! What can be had: instance types and images. Real names and sizes, a small part of Amazon's catalog.

use std::borrow::Cow;

use super::shelf::{Resource, Tags};

#[derive(Clone, Debug, PartialEq)]
pub struct InstanceType {
    pub name: String,
    pub architecture: &'static str,
    pub vcpus: u32,
    pub memory_mib: i64,
    pub hibernates: bool,
    pub burstable: bool,
}

/// Family, architecture, GiB of memory for each vCPU, whether its servers can hibernate.
const FAMILIES: [(&str, &str, i64, bool); 16] = [
    ("c5", "x86_64", 2, true),
    ("c6i", "x86_64", 2, true),
    ("c7i", "x86_64", 2, true),
    ("c6g", "arm64", 2, false),
    ("c7g", "arm64", 2, false),
    ("g5", "x86_64", 4, false),
    ("m5", "x86_64", 4, true),
    ("m6i", "x86_64", 4, true),
    ("m7i", "x86_64", 4, true),
    ("m6g", "arm64", 4, false),
    ("m7g", "arm64", 4, false),
    ("r5", "x86_64", 8, true),
    ("r6i", "x86_64", 8, true),
    ("r7i", "x86_64", 8, true),
    ("r6g", "arm64", 8, false),
    ("r7g", "arm64", 8, false),
];

const SIZES: [(&str, u32); 7] =
    [("large", 2), ("xlarge", 4), ("2xlarge", 8), ("4xlarge", 16), ("8xlarge", 32), ("12xlarge", 48), ("16xlarge", 64)];

/// Burstable ones come in sizes of their own: name, vCPUs, MiB.
const BURSTABLE: [(&str, u32, i64); 7] = [
    ("nano", 2, 512),
    ("micro", 2, 1024),
    ("small", 2, 2048),
    ("medium", 2, 4096),
    ("large", 2, 8192),
    ("xlarge", 4, 16_384),
    ("2xlarge", 8, 32_768),
];

/// All types, in the order of their names.
pub fn instance_types() -> Vec<InstanceType> {
    let mut types = Vec::new();
    for (family, architecture) in [("t3", "x86_64"), ("t3a", "x86_64"), ("t4g", "arm64")] {
        types.extend(BURSTABLE.iter().map(|(size, vcpus, memory_mib)| InstanceType {
            name: format!("{family}.{size}"),
            architecture,
            vcpus: *vcpus,
            memory_mib: *memory_mib,
            hibernates: architecture == "x86_64",
            burstable: true,
        }));
    }
    for (family, architecture, gib_per_vcpu, hibernates) in FAMILIES {
        let medium = (architecture == "arm64").then_some(("medium", 1));
        types.extend(medium.into_iter().chain(SIZES).map(|(size, vcpus)| InstanceType {
            name: format!("{family}.{size}"),
            architecture,
            vcpus,
            memory_mib: i64::from(vcpus) * gib_per_vcpu * 1024,
            hibernates,
            burstable: false,
        }));
    }
    types.sort_by(|one, other| one.name.cmp(&other.name));
    types
}

pub fn instance_type(name: &str) -> Option<InstanceType> {
    instance_types().into_iter().find(|known| known.name == name)
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    pub id: String,
    pub name: String,
    pub description: String,
    pub owner: String,
    pub owner_alias: Option<&'static str>,
    pub architecture: &'static str,
    pub root_device: &'static str,
    pub root_gib: i64,
    pub snapshot: String,
    pub created: String,
    pub public: bool,
    pub tags: Tags,
}

/// A line of images: of each date one.
struct Published {
    owner: &'static str,
    owner_alias: Option<&'static str>,
    /// With the image's architecture and date in the place of these words.
    name: &'static str,
    root_device: &'static str,
    dates: [&'static str; 3],
}

const PUBLISHED: [Published; 3] = [
    Published {
        owner: "136693071363",
        owner_alias: None,
        name: "debian-12-DEBARCH-DATE-2000",
        root_device: "/dev/xvda",
        dates: ["20260601", "20260803", "20261005"],
    },
    Published {
        owner: "099720109477",
        owner_alias: None,
        name: "ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-DEBARCH-server-DATE",
        root_device: "/dev/sda1",
        dates: ["20260515", "20260722", "20260930"],
    },
    Published {
        owner: "137112412989",
        owner_alias: Some("amazon"),
        name: "al2023-ami-2023.9.DATE.0-kernel-6.12-ARCH",
        root_device: "/dev/xvda",
        dates: ["20260609", "20260810", "20261013"],
    },
];

/// The images of a region that everybody may use.
pub fn public_images(region: &str) -> Vec<Image> {
    let mut images = Vec::new();
    for line in &PUBLISHED {
        for (architecture, debian) in [("x86_64", "amd64"), ("arm64", "arm64")] {
            for date in line.dates {
                let name = line.name.replace("DATE", date).replace("DEBARCH", debian).replace("ARCH", architecture);
                let hash = crate::seed::dice(0, &format!("{region} {name}"));
                images.push(Image {
                    id: format!("ami-0{hash:016x}"),
                    description: name.clone(),
                    name,
                    owner: line.owner.to_owned(),
                    owner_alias: line.owner_alias,
                    architecture,
                    root_device: line.root_device,
                    root_gib: 8,
                    snapshot: format!("snap-0{hash:016x}"),
                    created: format!("{}-{}-{}T08:00:00.000Z", &date[..4], &date[4..6], &date[6..]),
                    public: true,
                    tags: Tags::new(),
                });
            }
        }
    }
    images
}

impl Resource for Image {
    const PREFIX: &'static str = "ami-";
    const FILTERS: &'static [&'static str] = &[
        "image-id",
        "name",
        "description",
        "owner-id",
        "owner-alias",
        "architecture",
        "state",
        "is-public",
        "image-type",
        "root-device-type",
        "root-device-name",
        "virtualization-type",
        "hypervisor",
        "ena-support",
        "creation-date",
        "block-device-mapping.snapshot-id",
        "platform",
    ];
    const INDEXED: &'static [&'static str] = &[];

    fn id(&self) -> &str {
        &self.id
    }

    fn tags(&self) -> &Tags {
        &self.tags
    }

    fn tags_mut(&mut self) -> &mut Tags {
        &mut self.tags
    }

    fn is_visible(&self, _at_ms: i64) -> bool {
        true
    }

    fn values<'a>(&'a self, filter: &str, _at_ms: i64, values: &mut Vec<Cow<'a, str>>) {
        match filter {
            "image-id" => values.push(Cow::from(&self.id)),
            "name" => values.push(Cow::from(&self.name)),
            "description" => values.push(Cow::from(&self.description)),
            "owner-id" => values.push(Cow::from(&self.owner)),
            "owner-alias" => values.extend(self.owner_alias.map(Cow::from)),
            "architecture" => values.push(Cow::from(self.architecture)),
            "state" => values.push(Cow::from("available")),
            "is-public" => values.push(Cow::from(self.public.to_string())),
            "image-type" => values.push(Cow::from("machine")),
            "root-device-type" => values.push(Cow::from("ebs")),
            "root-device-name" => values.push(Cow::from(self.root_device)),
            "virtualization-type" => values.push(Cow::from("hvm")),
            "hypervisor" => values.push(Cow::from("xen")),
            "ena-support" => values.push(Cow::from("true")),
            "creation-date" => values.push(Cow::from(&self.created)),
            "block-device-mapping.snapshot-id" => values.push(Cow::from(&self.snapshot)),
            _ => {}
        }
    }
}
