//! What a parked environment keeps, what that costs and how long coming back takes: in figures, and in sentences for people.

use app::api::ParkView;
use app::words::{about, bytes, dollars};
use provisioners::{AtRest, PaidReading, RestPrice, ServerAtRest};

use super::topology::{ParkMode, Topology};

/// What costs something in the meantime, besides snapshots.
pub fn at_rest(topology: &Topology) -> AtRest {
    let servers = topology.servers.iter().filter(|_| topology.park.suspends()).map(|server| ServerAtRest {
        image: server.image.clone(),
        alias: server.alias.clone(),
        architecture: server.architecture,
        cpu_millis: server.cpu_millis,
        memory_bytes: server.memory_bytes,
        hibernates: topology.park == ParkMode::Hibernate,
    });
    let volumes = topology.volumes.iter().filter(|_| topology.park != ParkMode::Snapshot);
    AtRest { volumes: volumes.map(|volume| volume.size_bytes).collect(), servers: servers.collect() }
}

/// What there is to tell from how long coming back takes: what half of the last ones did not exceed, milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WayBack {
    /// Of resumes.
    Resumes(i64),
    /// Nobody has resumed; of orders, until they were ready.
    Orders(i64),
    Nothing,
}

/// `price`: of [`at_rest`], where that is known.
pub fn view(topology: &Topology, price: Option<RestPrice>, way_back: WayBack) -> ParkView {
    ParkView {
        mode: topology.park.as_str().to_owned(),
        monthly_cents: price.and_then(|price| price.disks_cents),
        resume_ms: match way_back {
            WayBack::Resumes(took) => Some(took),
            WayBack::Orders(_) | WayBack::Nothing => None,
        },
        keeps: keeps(topology),
        costs: costs(price),
        resumes: resumes(topology.park, way_back),
    }
}

/// The same as one text.
pub fn words(park: &ParkView) -> String {
    [park.keeps.as_str(), &park.costs, &park.resumes].join(" ")
}

fn keeps(topology: &Topology) -> String {
    let size = topology.volumes.iter().map(|volume| volume.size_bytes).sum();
    let volumes = match topology.volumes.len() {
        0 => String::new(),
        _ if topology.park == ParkMode::Snapshot => "what its volumes hold is in a snapshot, ".to_owned(),
        1 => format!("its volume ({}), ", bytes(size)),
        _ => format!("its volumes ({}), ", bytes(size)),
    };
    let servers = match topology.park {
        ParkMode::Volumes => "are gone",
        ParkMode::Snapshot => "and volumes are gone",
        ParkMode::Stop => "are stopped on their own disks",
        ParkMode::Hibernate => "are stopped on their own disks, with what is in their memory",
    };
    format!("Parked, its servers {servers}; {volumes}names and settings stay.")
}

fn costs(price: Option<RestPrice>) -> String {
    let Some(price) = price else { return "What it costs while parked is not known here.".to_owned() };
    if price == RestPrice::NOTHING {
        return "While parked it costs nothing.".to_owned();
    }
    let RestPrice { disks_cents, snapshot_gib_millis } = price;
    let disks = match disks_cents {
        Some(0) => String::new(),
        Some(cents) => format!("about {} a month, and ", dollars(cents)),
        None => "what the servers’ disks cost, which is not known now, and ".to_owned(),
    };
    format!(
        "While parked it costs {disks}about {} a month for each GiB that its snapshots hold.",
        thousandths(snapshot_gib_millis)
    )
}

/// What volumes that begin with a snapshot cost once, where they are read in at a rate.
pub fn reading_in(paid: PaidReading) -> String {
    let PaidReading { mib_per_second, gib_millis } = paid;
    let asks = match gib_millis {
        Some(millis) => format!("about {} for each GiB", thousandths(millis)),
        None => "a price that nobody has told this portal (https://aws.amazon.com/ebs/pricing/ has it)".to_owned(),
    };
    format!(
        "What is restored or copied from a snapshot is read in at {mib_per_second} MiB a second; Amazon asks {asks}."
    )
}

/// "$0.05", "$0.054".
fn thousandths(dollars: u64) -> String {
    match dollars % 10 {
        0 => format!("${}.{:02}", dollars / 1000, dollars % 1000 / 10),
        _ => format!("${}.{:03}", dollars / 1000, dollars % 1000),
    }
}

fn resumes(mode: ParkMode, way_back: WayBack) -> String {
    if let WayBack::Resumes(took) = way_back {
        return format!("Coming back took about {} lately.", about(took));
    }
    let stands_by = matches!(mode, ParkMode::Stop | ParkMode::Hibernate);
    let does = match mode {
        ParkMode::Volumes => "Coming back takes as long as a new order.",
        ParkMode::Snapshot => "Coming back takes as long as a new order, and its volumes have to be made again.",
        ParkMode::Stop | ParkMode::Hibernate => "Coming back starts the same servers; nothing is set up anew.",
    };
    match way_back {
        WayBack::Orders(took) if stands_by => {
            format!("{does} A new order, which is more to do, took about {} lately.", about(took))
        }
        WayBack::Orders(took) => format!("{does} A new order took about {} lately.", about(took)),
        _ => format!("{does} None was ready here lately, so nobody knows how long that is."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::fixtures::{server, topology};
    use crate::domain::topology::VolumeSpec;

    const PRICE: RestPrice = RestPrice { disks_cents: Some(152), snapshot_gib_millis: 50 };

    fn said(park: ParkMode, volumes: usize, price: Option<RestPrice>, way_back: WayBack) -> String {
        let volume = |number| VolumeSpec { name: format!("v{number}"), size_bytes: 1 << 30 };
        let volumes = (0..volumes).map(volume).collect();
        words(&view(&Topology { park, volumes, ..topology([server("web")]) }, price, way_back))
    }

    #[test]
    fn what_stays_what_it_costs_and_how_long_the_way_back_is() {
        assert_eq!(
            said(ParkMode::Volumes, 2, Some(RestPrice::NOTHING), WayBack::Nothing),
            "Parked, its servers are gone; its volumes (2 GiB), names and settings stay. While parked it costs nothing. \
             Coming back takes as long as a new order. None was ready here lately, so nobody knows how long that is."
        );
        assert_eq!(
            said(ParkMode::Stop, 1, Some(PRICE), WayBack::Resumes(42_000)),
            "Parked, its servers are stopped on their own disks; its volume (1 GiB), names and settings stay. While \
             parked it costs about $1.52 a month, and about $0.05 a month for each GiB that its snapshots hold. Coming back took about 42 s lately."
        );
        let put_away = RestPrice { disks_cents: Some(0), ..PRICE };
        assert_eq!(
            said(ParkMode::Snapshot, 2, Some(put_away), WayBack::Orders(63_000)),
            "Parked, its servers and volumes are gone; what its volumes hold is in a snapshot, names and settings stay. While \
             parked it costs about $0.05 a month for each GiB that its snapshots hold. Coming back takes as long as a new order, and \
             its volumes have to be made again. A new order took about 1 min 3 s lately."
        );
        let hibernated = said(
            ParkMode::Hibernate,
            0,
            Some(RestPrice { disks_cents: None, snapshot_gib_millis: 54 }),
            WayBack::Orders(42_000),
        );
        assert_eq!(
            hibernated,
            "Parked, its servers are stopped on their own disks, with what is in their memory; names and settings stay. While \
             parked it costs what the servers’ disks cost, which is not known now, and about $0.054 a month for each GiB that its \
             snapshots hold. Coming back starts the same servers; nothing is set up anew. A new order, which is more to do, took \
             about 42 s lately."
        );
        assert_eq!(
            said(ParkMode::Volumes, 0, None, WayBack::Resumes(900)),
            "Parked, its servers are gone; names and settings stay. What it costs while parked is not known here. \
             Coming back took about 0.9 s lately."
        );
    }

    #[test]
    fn reading_in_at_a_rate_is_told_with_its_price_and_no_price_is_made_up() {
        let told = |gib_millis| reading_in(PaidReading { mib_per_second: 200, gib_millis });
        let rate = "What is restored or copied from a snapshot is read in at 200 MiB a second; Amazon asks";
        assert_eq!(told(Some(360)), format!("{rate} about $0.36 for each GiB."));
        let unknown = "a price that nobody has told this portal (https://aws.amazon.com/ebs/pricing/ has it).";
        assert_eq!(told(None), format!("{rate} {unknown}"));
    }

    #[test]
    fn servers_cost_something_only_where_they_stand_by() {
        let web = topology([server("web").mounting(&["data"])]);
        assert_eq!((at_rest(&web).volumes.len(), at_rest(&web).servers.len()), (1, 0));
        let put_away = at_rest(&Topology { park: ParkMode::Snapshot, ..web.clone() });
        assert_eq!((put_away.volumes.len(), put_away.servers.len()), (0, 0));
        let stopped = at_rest(&Topology { park: ParkMode::Stop, ..web.clone() });
        assert!(matches!(stopped.servers.as_slice(), [web] if !web.hibernates));
        let hibernated = at_rest(&Topology { park: ParkMode::Hibernate, ..web });
        assert!(matches!(hibernated.servers.as_slice(), [web] if web.hibernates));
    }
}
