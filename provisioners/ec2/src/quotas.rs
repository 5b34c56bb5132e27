//! What an account may have at most. EC2's own calls tell it only when it is reached, Service Quotas beforehand.

use aws_sdk_servicequotas::Client;

use super::amazon::{Called, TypeFacts, understood};

/// Processors (vCPUs) of all running on-demand servers of the families A, C, D, H, I, M, R, T and Z in a region. Source: "Amazon
/// EC2 instance type quotas", docs.aws.amazon.com/ec2/latest/instancetypes/ec2-instance-quotas.html.
pub const STANDARD: &str = "L-1216C47A";
/// Families that begin with the same letters and have limits of their own, or none.
const OTHERS: [&str; 6] = ["dl", "hpc", "inf", "mac", "trn", "vt"];

/// One account and region.
#[derive(Clone, Debug)]
pub struct Quotas(Client);

impl Quotas {
    pub fn new(client: Client) -> Self {
        Self(client)
    }

    /// Processors.
    pub async fn standard(&self) -> Called<u32> {
        let call = self.0.get_service_quota().service_code("ec2").quota_code(STANDARD);
        let answer = understood("GetServiceQuota", call.send().await)?;
        let value = answer.quota.and_then(|quota| quota.value).unwrap_or_default();
        // Whole processors, and no account has more than fit.
        Ok(value as u32)
    }
}

/// Whether [`STANDARD`] is about this type (`m6i.large`).
pub fn is_standard(facts: &TypeFacts) -> bool {
    let family: String = facts.name.chars().take_while(char::is_ascii_alphabetic).collect();
    family.starts_with(['a', 'c', 'd', 'h', 'i', 'm', 'r', 't', 'z']) && !OTHERS.contains(&family.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_counted_with_its_family() {
        let is_standard = |name: &str| {
            let (name, architectures) = (name.to_owned(), Vec::new());
            is_standard(&TypeFacts { name, cpu_millis: 2000, memory_bytes: 1, architectures, hibernates: false })
        };
        let standard = ["t3.small", "m6i.large", "c7i.xlarge", "im4gn.large", "z1d.large", "a1.medium"];
        assert!(standard.into_iter().all(is_standard));
        assert!(
            !["g5.xlarge", "p4d.24xlarge", "inf2.xlarge", "dl1.24xlarge", "x2idn.16xlarge", "trn1.2xlarge"]
                .into_iter()
                .any(is_standard)
        );
    }
}
