//! What an account may have at most. EC2's own calls tell it only when it is reached, Service Quotas beforehand.

use aws_sdk_servicequotas::Client;

use super::amazon::{Called, understood};

/// How many processors (vCPUs) all servers of some families may have together, in one region.
///
/// Names, codes and families: "Amazon EC2 instance type quotas", docs.aws.amazon.com/ec2/latest/instancetypes/ec2-instance-quotas.html,
/// where each limit leads to its code at Service Quotas.
#[derive(Debug, PartialEq, Eq)]
pub struct Limit {
    /// As Amazon calls the families together.
    pub of: &'static str,
    /// What the names of its types begin with; where two limits know one, the longer beginning counts.
    families: &'static [&'static str],
    pub on_demand: &'static str,
    /// `None`: Amazon's page has no such limit.
    pub spot: Option<&'static str>,
}

const LIMITS: [Limit; 12] = [
    Limit {
        of: "Standard (A, C, D, H, I, M, R, T, Z)",
        families: &["a", "c", "d", "h", "i", "m", "r", "t", "z"],
        on_demand: "L-1216C47A",
        spot: Some("L-34B43A08"),
    },
    Limit { of: "DL", families: &["dl"], on_demand: "L-6E869C2A", spot: Some("L-85EED4F7") },
    Limit { of: "F", families: &["f"], on_demand: "L-74FC7D96", spot: Some("L-88CF9481") },
    Limit { of: "G and VT", families: &["g", "vt"], on_demand: "L-DB2E81BA", spot: Some("L-3819A6DF") },
    Limit { of: "HPC", families: &["hpc"], on_demand: "L-F7808C92", spot: None },
    Limit { of: "High Memory", families: &["u"], on_demand: "L-43DA4232", spot: None },
    Limit { of: "Inf", families: &["inf"], on_demand: "L-1945791B", spot: Some("L-B5D1601B") },
    // On demand the three of P are one limit. Which one newer spot servers of P count for the page does not say.
    Limit { of: "P", families: &["p"], on_demand: "L-417A185B", spot: None },
    Limit { of: "P4, P3 and P2", families: &["p2", "p3", "p4"], on_demand: "L-417A185B", spot: Some("L-7212CCBC") },
    Limit { of: "P5", families: &["p5"], on_demand: "L-417A185B", spot: Some("L-C4BD4855") },
    Limit { of: "Trn", families: &["trn"], on_demand: "L-2C3B7624", spot: Some("L-6B0D517C") },
    Limit { of: "X", families: &["x"], on_demand: "L-7295265B", spot: Some("L-E3A00192") },
];

/// Servers of these need a whole machine of one's own, and its limit counts machines.
const MACHINES: &str = "mac";

/// What counts processors of this type (`m6i.large`); `None`: nobody here knows.
pub fn of_type(name: &str) -> Option<&'static Limit> {
    let longest = |limit: &&Limit| {
        let families = limit.families.iter().filter(|family| name.starts_with(**family));
        families.map(|family| family.len()).max()
    };
    let known = LIMITS.iter().filter(|limit| longest(limit).is_some());
    known.max_by_key(longest).filter(|_| !name.starts_with(MACHINES))
}

/// One account and region.
#[derive(Clone, Debug)]
pub struct Quotas(Client);

impl Quotas {
    pub fn new(client: Client) -> Self {
        Self(client)
    }

    /// Processors.
    pub async fn processors(&self, code: &str) -> Called<u32> {
        let call = self.0.get_service_quota().service_code("ec2").quota_code(code);
        let answer = understood("GetServiceQuota", call.send().await)?;
        let value = answer.quota.and_then(|quota| quota.value).unwrap_or_default();
        // Whole processors, and no account has more than fit.
        Ok(value as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_counted_with_its_family() {
        let of = |name: &str| of_type(name).map(|limit| limit.of);
        for name in ["t3.small", "m6i.large", "c7i.xlarge", "im4gn.large", "z1d.large", "a1.medium", "d3en.xlarge"] {
            assert_eq!(of(name), Some("Standard (A, C, D, H, I, M, R, T, Z)"), "{name}");
        }
        for (name, limit) in [
            ("g5.xlarge", "G and VT"),
            ("gr6.4xlarge", "G and VT"),
            ("vt1.3xlarge", "G and VT"),
            ("p3.2xlarge", "P4, P3 and P2"),
            ("p4d.24xlarge", "P4, P3 and P2"),
            ("p5en.48xlarge", "P5"),
            ("p6-b200.48xlarge", "P"),
            ("inf2.xlarge", "Inf"),
            ("dl1.24xlarge", "DL"),
            ("f2.6xlarge", "F"),
            ("x2idn.16xlarge", "X"),
            ("trn1.2xlarge", "Trn"),
            ("hpc7a.96xlarge", "HPC"),
            ("u-6tb1.56xlarge", "High Memory"),
            ("u7i-12tb.224xlarge", "High Memory"),
        ] {
            assert_eq!(of(name), Some(limit), "{name}");
        }
        assert_eq!((of("mac1.metal"), of("q1.large")), (None, None));
    }
}
