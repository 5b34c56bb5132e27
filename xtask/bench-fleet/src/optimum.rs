//! The least time that Amazon leaves anybody, of each phase ([`fake_ec2::optimum`]). What Amazon itself takes is of so many about
//! the longest it ever takes: until a new security group can be named in a call, until the last server runs or is gone.
//!
//! Needed are as few calls as anybody could make: one RunInstances for the servers of an environment (they share a security
//! group with nobody else), all terminations together, one call for each volume, attachment, security group and
//! kind of rule. Looking is free.

use fake_ec2::{Delays, Need, Optimum, optimum, optimum_of_start};

use crate::fleet::Fleet;

pub fn start(fleet: &Fleet) -> Optimum {
    // The group, its rules, the servers, a volume.
    optimum_of_start(fleet.environments, fleet.all_servers(), 0, 4)
}

pub fn stop(fleet: &Fleet) -> Optimum {
    all_together("StopInstances", fleet, Delays::lifelike().stopping.1)
}

pub fn park(fleet: &Fleet) -> Optimum {
    all_together("TerminateInstances", fleet, Delays::lifelike().shutting_down.1)
}

fn all_together(action: &'static str, fleet: &Fleet, after_ms: i64) -> Optimum {
    let servers = fleet.all_servers();
    optimum(&[Need { action, calls: servers.div_ceil(ec2::MOST_AT_ONCE), servers, after_ms }], 0, 1)
}

pub fn delete(fleet: &Fleet) -> Optimum {
    let need = |action, after_ms| Need { action, calls: fleet.environments, servers: 0, after_ms };
    // A volume takes as long to go as to come.
    let needs = [need("DeleteVolume", Delays::lifelike().volume_creating.1), need("DeleteSecurityGroup", 0)];
    optimum(&needs, 0, 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_thousand_servers_wait_for_the_bucket_of_servers() {
        let fleet = Fleet { environments: 500, servers: 10 };
        let start = start(&fleet);
        assert_eq!((start.time.as_secs(), start.bucket.as_str()), (2000 + 20, "servers of RunInstances"));
        assert_eq!(stop(&fleet).time.as_secs(), 200 + 60);
        assert_eq!(park(&fleet).time.as_secs(), 200 + 60);
        // 450 beyond the burst of 50, at 5 each second.
        assert_eq!(delete(&fleet).time.as_secs(), 90);
    }

    #[test]
    fn a_small_fleet_waits_for_what_amazon_takes_itself() {
        let fleet = Fleet { environments: 5, servers: 2 };
        assert_eq!(start(&fleet).time.as_secs(), 10 + 20);
        assert_eq!(delete(&fleet).time.as_secs(), 5);
    }
}
