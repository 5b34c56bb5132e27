//! Whether a template can run on this machine.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use provisioners::{Capabilities, Image};

use super::places::Places;
use crate::domain::template::{Server, Template};

/// What a server's `PATH` is when its template gives none.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What a provisioner's operator calls the image of servers whose template names none.
const USUAL_IMAGE: &str = "host";

/// Why it cannot run where it is for, in words; `None` when it can.
pub fn unavailable(template: &Template, places: &Places) -> Option<String> {
    match places.of(template) {
        Ok((_, capabilities)) => lacking(template, &capabilities),
        Err(reason) => Some(reason),
    }
}

/// The same of a provisioner that can do this.
pub fn lacking(template: &Template, capabilities: &Capabilities) -> Option<String> {
    if capabilities.closed.is_some() {
        return capabilities.closed.clone();
    }
    let mut reasons: Vec<String> = Vec::new();
    let missing = match capabilities.host_software {
        true => missing_commands(template, &|file| is_program(Path::new(file))),
        false => Vec::new(),
    };
    match missing.as_slice() {
        [] => {}
        [one] => reasons.push(format!("It needs the command {one}, which this machine does not have.")),
        many => reasons.push(format!("It needs the commands {}, which this machine does not have.", many.join(", "))),
    }
    let own = &capabilities.own_images;
    let container =
        |server: &&Server| matches!(server.image, Image::Oci(_)) && (own.is_empty() || server.alias.is_none());
    if !capabilities.oci_images && template.servers.iter().any(|server| container(&server)) {
        reasons.push("It is made from OCI images, which cannot run there.".into());
    }
    let aliases = template.servers.iter().filter_map(|server| server.alias.as_ref()).filter(|_| !own.is_empty());
    if let Some(unknown) = aliases.clone().find(|alias| own.iter().all(|image| image.name != **alias)) {
        let known: Vec<String> = own.iter().map(|image| format!("“{}”", image.name)).collect();
        reasons.push(format!("It needs the image “{unknown}”; there is {} there.", known.join(", ")));
    }
    reasons.extend(template.servers.iter().find_map(|server| other_processor(server, capabilities)));
    if !capabilities.suspends && template.park.suspends() {
        let mode = template.park.as_str();
        reasons
            .push(format!("It is parked by `park: {mode}`, but servers cannot stand by there; `park: volumes` can."));
    }
    let shared = |volume: &crate::domain::template::Volume| volume.mounts.len() > 1 && !volume.per_server;
    // Where they share no disk each has a copy; servers made from an image bring their own Syncthing.
    let from_machine = capabilities.host_software && template.servers.iter().any(|server| server.image == Image::Host);
    let is_there = || PATH.split(':').any(|directory| is_program(Path::new(&format!("{directory}/syncthing"))));
    if !capabilities.shared_volumes && template.volumes.iter().any(shared) && from_machine && !is_there() {
        reasons.push("Its servers share a volume, whose copies Syncthing keeps in step: install syncthing.".into());
    }
    (!reasons.is_empty()).then(|| reasons.join(" "))
}

/// Why a server cannot have the kind of processor that it is for.
fn other_processor(server: &Server, capabilities: &Capabilities) -> Option<String> {
    let (name, architecture) = (&server.name, server.architecture.or(capabilities.usual)?);
    if let Some(why) = capabilities.without.get(&architecture) {
        return Some(format!("Its server “{name}” is to have an {architecture} processor, and {why}."));
    }
    let alias = server.alias.as_deref().unwrap_or(USUAL_IMAGE);
    let image = capabilities.own_images.iter().find(|image| image.name == alias)?;
    let why = image.without.get(&architecture)?;
    Some(format!("Its server “{name}” needs the image “{alias}” for {architecture}, which is not there: {why}."))
}

/// Commands that servers made from this machine's software require and it lacks.
fn missing_commands(template: &Template, is_program: &dyn Fn(&str) -> bool) -> Vec<String> {
    let mut missing: Vec<String> = Vec::new();
    for server in template.servers.iter().filter(|server| server.image == Image::Host) {
        let path = path_of(server);
        // A server sees the machine's /usr and what leads there, nothing else of it.
        let seen = |directory: &str| ["/usr", "/bin", "/sbin"].iter().any(|top| Path::new(directory).starts_with(top));
        let there = |command: &str| {
            path.split(':')
                .filter(|directory| seen(directory))
                .any(|directory| is_program(&format!("{directory}/{command}")))
        };
        for command in server.requires.iter().filter(|command| !there(command)) {
            if !missing.contains(command) {
                missing.push(command.clone());
            }
        }
    }
    missing
}

fn path_of(server: &Server) -> String {
    let own = server.variables.iter().find(|(name, _)| name == "PATH");
    // Names in it have no value before there is an order; the directories around them have.
    own.map_or_else(|| PATH.to_owned(), |(_, value)| value.substitute(|_| Some(String::new())).source())
}

fn is_program(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use provisioners::{Architecture, OwnImage};

    use super::super::places::always;
    use super::*;
    use crate::domain::template::read;

    fn requiring(more: &str) -> Template {
        let source = format!("name: a\nversion: 1\ntitle: A\nsummary: A.\ncategory: C\nservers:\n  a: {{{more}}}\n");
        read(&source).unwrap()
    }

    #[test]
    fn a_command_is_looked_for_where_the_server_will_look() {
        let has = |file: &str| ["/usr/bin/python3", "/usr/lib/pg/bin/initdb", "/opt/bin/node"].contains(&file);
        let missing = |more: &str| missing_commands(&requiring(more), &has);
        assert_eq!(missing("requires: [python3]"), [] as [&str; 0]);
        assert_eq!(missing("requires: [initdb, python3, node]"), ["initdb", "node"]);
        assert_eq!(missing("requires: [initdb], variables: {PATH: '/usr/lib/pg/bin:/usr/bin'}"), [] as [&str; 0]);
        assert_eq!(missing("requires: [node], variables: {PATH: /opt/bin}"), ["node"], "/opt is not in the server");
        assert_eq!(missing("requires: [node], image: example.org/node:1"), [] as [&str; 0], "an image has its own");
    }

    #[test]
    fn what_this_machine_cannot_do_is_said_in_words() {
        let nothing = Capabilities { host_software: true, ..Capabilities::default() };
        assert_eq!(lacking(&requiring("requires: [sh]"), &nothing), None);
        assert_eq!(
            lacking(&requiring("requires: [no-such-command]"), &nothing).as_deref(),
            Some("It needs the command no-such-command, which this machine does not have.")
        );
        assert!(lacking(&requiring("image: example.org/a:1"), &nothing).is_some());
        let source = "name: a\nversion: 1\ntitle: A\nsummary: A.\ncategory: C\npark: stop\nservers: {a: {}}\n";
        let standing_by = read(source).unwrap();
        assert_eq!(
            lacking(&standing_by, &nothing).as_deref(),
            Some("It is parked by `park: stop`, but servers cannot stand by there; `park: volumes` can.")
        );
        assert_eq!(lacking(&standing_by, &Capabilities { suspends: true, ..nothing.clone() }), None);
        let able = Capabilities { oci_images: true, ..Capabilities::default() };
        assert_eq!(lacking(&requiring("image: example.org/a:1"), &able), None);
    }

    #[test]
    fn where_the_provisioner_has_images_of_its_own_the_template_names_one_of_them() {
        let own_images = ["debian", "host"].map(|name| OwnImage { name: name.into(), without: BTreeMap::new() });
        let far = Capabilities { own_images: own_images.into(), ..Capabilities::default() };
        assert_eq!(lacking(&requiring("image: {local: 'example.org/a:1', ec2: debian}"), &far), None);
        assert_eq!(
            lacking(&requiring("image: {ec2: ubuntu}"), &far).as_deref(),
            Some("It needs the image “ubuntu”; there is “debian”, “host” there.")
        );
        assert_eq!(
            lacking(&requiring("image: 'example.org/a:1'"), &far).as_deref(),
            Some("It is made from OCI images, which cannot run there.")
        );
    }

    #[test]
    fn what_is_missing_for_a_kind_of_processor_is_said_of_templates_that_ask_for_it() {
        let without = |why: &str| BTreeMap::from([(Architecture::Arm64, why.to_owned())]);
        let here = Capabilities { without: without("this machine has an x86_64 one"), ..Capabilities::default() };
        let (arm, usual) = (requiring("architecture: arm64"), requiring(""));
        assert_eq!(
            lacking(&arm, &here).as_deref(),
            Some("Its server “a” is to have an arm64 processor, and this machine has an x86_64 one.")
        );
        assert_eq!((lacking(&usual, &here), lacking(&requiring("architecture: x86_64"), &here)), (None, None));
        let image = |name: &str, without| OwnImage { name: name.into(), without };
        let own_images = vec![image("debian", BTreeMap::new()), image("host", without("write it to the file"))];
        let far = Capabilities { own_images, usual: Some(Architecture::X86), ..Capabilities::default() };
        assert_eq!(
            lacking(&arm, &far).as_deref(),
            Some("Its server “a” needs the image “host” for arm64, which is not there: write it to the file.")
        );
        assert_eq!(lacking(&requiring("architecture: arm64, image: {ec2: debian}"), &far), None);
        // What asks for nothing is what is usual there.
        let graviton = Capabilities { usual: Some(Architecture::Arm64), ..here };
        assert!(lacking(&usual, &graviton).is_some());
    }

    #[test]
    fn a_template_for_a_provisioner_that_is_not_there_says_so() {
        let far = Capabilities { oci_images: true, ..Capabilities::default() };
        let both = [("local", Capabilities::default()), ("frankfurt", far)];
        let both = both.map(|(name, able)| (name.to_owned(), always(able)));
        let places = Places::new(both.into(), "local".to_owned());
        let of = |more: &str| {
            let head = "name: a\nversion: 1\ntitle: A\nsummary: A.\ncategory: C\n";
            let source = format!("{head}{more}servers:\n  a: {{image: 'example.org/a:1'}}\n");
            unavailable(&read(&source).unwrap(), &places)
        };
        assert_eq!(of("").as_deref(), Some("It is made from OCI images, which cannot run there."));
        assert_eq!(of("provisioner: frankfurt\n"), None);
        assert_eq!(
            of("provisioner: dublin\n").as_deref(),
            Some("It is for the provisioner “dublin”, which this portal does not have (it has “frankfurt”, “local”).")
        );
    }
}
