//! What is brought up: environments that are all alike. The first server of each has a volume.

use std::net::Ipv4Addr;

use provisioners::{
    Effect, EffectToken, EnvironmentId, Image, ServerId, ServerPlan, Step, VolumeId, VolumeMount, VolumePlan,
};

#[derive(Clone, Copy, Debug)]
pub struct Fleet {
    pub environments: usize,
    /// Of each environment.
    pub servers: usize,
}

impl Fleet {
    pub fn all_servers(&self) -> usize {
        self.environments * self.servers
    }

    pub fn ids(&self) -> Vec<EnvironmentId> {
        (0..self.environments).map(|number| EnvironmentId::new(format!("fleet-{number:04}"))).collect()
    }

    /// What is asked for of each environment, group after group.
    pub fn start(&self, environment: &EnvironmentId) -> Vec<Vec<Step>> {
        let volume = VolumePlan { id: volume(environment), name: "data".to_owned(), size_bytes: 1 << 30, from: None };
        let servers = (0..self.servers).map(|number| Step::StartServer { server: Box::new(plan(environment, number)) });
        vec![vec![Step::CreateNetwork], vec![Step::CreateVolume { volume }], servers.collect()]
    }

    /// As `park: stop` has it.
    pub fn stop(&self, environment: &EnvironmentId) -> Vec<Vec<Step>> {
        let suspend = |number| {
            let server = server(environment, number);
            Step::SuspendServer { server, generation: 1, wish: 1, hibernate: false }
        };
        vec![(0..self.servers).map(suspend).collect()]
    }

    pub fn park(&self, environment: &EnvironmentId) -> Vec<Vec<Step>> {
        let stop = |number| Step::StopServer { server: server(environment, number), generation: 1 };
        vec![(0..self.servers).map(stop).collect()]
    }

    pub fn delete(&self, environment: &EnvironmentId) -> Vec<Vec<Step>> {
        vec![vec![Step::DeleteVolume { volume: volume(environment) }, Step::DeleteNetwork]]
    }
}

/// The same token for the same step.
pub fn effect(environment: &EnvironmentId, step: &Step) -> Effect {
    let token = match step {
        Step::StartServer { server } => format!("start {}", server.id),
        Step::CreateVolume { volume } => format!("create {}", volume.id),
        _ => format!("{step:?} of {environment}"),
    };
    Effect {
        environment: environment.clone(),
        token: EffectToken::new(token),
        call: 1,
        step: step.clone(),
        enrolment: None,
        by_schedule: false,
    }
}

fn volume(environment: &EnvironmentId) -> VolumeId {
    VolumeId::new(format!("{environment}-data"))
}

fn server(environment: &EnvironmentId, number: usize) -> ServerId {
    ServerId::new(format!("{environment}-{number:03}"))
}

fn plan(environment: &EnvironmentId, number: usize) -> ServerPlan {
    let mount = VolumeMount { volume: volume(environment), path: "/data".to_owned() };
    ServerPlan {
        id: server(environment, number),
        name: format!("server-{number:03}"),
        generation: 1,
        address: Ipv4Addr::new(10, 64, 0, 2),
        image: Image::Host,
        alias: None,
        architecture: None,
        cpu_millis: Some(500),
        memory_bytes: Some(1 << 30),
        mounts: if number == 0 { vec![mount] } else { Vec::new() },
        hosts: Vec::new(),
        internet: false,
        spot: false,
        hibernates: false,
    }
}
