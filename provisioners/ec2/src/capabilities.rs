//! What can be had in a region, and what it lacks, in words: from what is configured, what the region was found to offer, and the
//! agents that this portal has. Made anew whenever somebody wants to know, for the region is looked at again and again.

use std::collections::BTreeMap;

use provisioners::{Architecture, Capabilities, OwnImage};

use super::config::Config;
use super::place::{self, Place};
use super::portal::{self, Portal};

/// `place`: what the region offers, or why that is not known.
pub fn capabilities(name: &str, config: &Config, portal: &Portal, place: Result<&Place, &str>) -> Capabilities {
    let closed = place.err().map(|why| format!("Nothing can be ordered there for now: {why}."));
    let place = place.ok();
    let processors = |architecture: &Architecture| match place {
        _ if !portal.agents.contains_key(architecture) => {
            Some(format!("this portal has {}", portal::no_agent(*architecture)))
        }
        Some(place) if !place.has_types(*architecture) => Some(place::no_type(name, *architecture)),
        _ => None,
    };
    let images = config.images.keys().map(|alias| OwnImage {
        name: alias.clone(),
        without: each(|architecture| match place {
            Some(place) if !place.has_image(alias, *architecture) => Some(place::no_image(name, alias, *architecture)),
            _ => None,
        }),
    });
    let zones = place.map(|place| {
        let zones: Vec<&str> = place.subnets.iter().map(|subnet| subnet.zone.as_str()).collect();
        format!("Servers come in {}.", zones.join(", "))
    });
    let halves = place.iter().flat_map(|place| place::halves(config, &place.sizes, &place.images));
    let agents = Architecture::ALL.into_iter().filter(|architecture| {
        place.is_some_and(|place| place.has_types(*architecture)) && !portal.agents.contains_key(architecture)
    });
    let agents = agents.map(|architecture| format!("There is {}.", portal::no_agent(architecture)));
    Capabilities {
        closed,
        oci_images: false,
        own_images: images.collect(),
        usual: Some(place::USUAL),
        without: each(processors),
        host_software: false,
        internet: true,
        cgroups: true,
        shared_volumes: false,
        instant_snapshots: true,
        suspends: true,
        notes: zones.into_iter().chain(halves).chain(agents).collect(),
    }
}

/// What there is to say of kinds of processors.
fn each(said: impl Fn(&Architecture) -> Option<String>) -> BTreeMap<Architecture, String> {
    Architecture::ALL.into_iter().filter_map(|architecture| Some((architecture, said(&architecture)?))).collect()
}
