//! The outside world of a simulation: what is there, and what a step does to it. Whatever must never happen, whoever asks
//! for it, is asserted here.

use std::collections::{BTreeMap, BTreeSet};

use provisioners::{MachineState, RestoreState, ServerId, SnapshotId, Step, VolumeId};

#[derive(Debug, Default)]
pub struct World {
    pub network: bool,
    /// The network was lost by accident, and nobody may have noticed.
    network_lost: bool,
    /// What runs or lies dead of each server, with its generation.
    pub machines: BTreeMap<ServerId, (i64, MachineState)>,
    /// With how often what is in each was written.
    pub volumes: BTreeMap<VolumeId, u64>,
    /// Volumes are accepted, and cannot be had.
    pub refuses_volumes: bool,
    refused: BTreeSet<VolumeId>,
    /// With the call that took each.
    pub snapshots: BTreeMap<SnapshotId, (i64, BTreeMap<VolumeId, u64>)>,
    /// How often each volume was written, by name, whatever became of it.
    pub written: BTreeMap<String, u64>,
    names: BTreeMap<VolumeId, String>,
    mounts: BTreeMap<ServerId, Vec<VolumeId>>,
    starts: BTreeSet<(ServerId, i64)>,
    /// Volumes that a running server has used.
    used: BTreeSet<VolumeId>,
}

impl World {
    /// Whether a provisioner would have this step tried again later: an accident that the plan has not seen is in its way.
    pub fn defers(&self, step: &Step) -> bool {
        let Step::StartServer { server } = step else { return false };
        self.network_lost || server.mounts.iter().any(|mount| self.refused.contains(&mount.volume))
    }

    /// Whatever runs writes all the time.
    pub fn write(&mut self) {
        let running = self.machines.iter().filter(|(_, (_, state))| *state == MachineState::Running);
        for volume in running.flat_map(|(server, _)| &self.mounts[server]) {
            if let Some(held) = self.volumes.get_mut(volume) {
                let written = self.written.entry(self.names[volume].clone()).or_default();
                *written += 1;
                *held = *written;
            }
        }
    }

    pub fn perform(&mut self, step: &Step, call: i64) {
        match step {
            Step::CreateNetwork => {
                self.network = true;
                self.network_lost = false;
            }
            Step::DeleteNetwork => {
                assert!(self.machines.is_empty(), "servers go before their network");
                self.network = false;
                self.network_lost = false;
            }
            Step::CreateVolume { volume } => {
                if self.volumes.contains_key(&volume.id) {
                    return;
                }
                self.refused.remove(&volume.id);
                if self.refuses_volumes {
                    self.refused.insert(volume.id.clone());
                    return;
                }
                assert!(!self.used.contains(&volume.id), "{} comes back empty", volume.name);
                let held = volume.from.as_ref().map_or(0, |from| self.snapshots[&from.snapshot].1[&from.volume]);
                self.volumes.insert(volume.id.clone(), held);
                self.names.insert(volume.id.clone(), volume.name.clone());
            }
            Step::DeleteVolume { volume } => {
                self.volumes.remove(volume);
                self.used.remove(volume);
            }
            Step::StartServer { server } => {
                assert!(self.network && server.mounts.iter().all(|mount| self.volumes.contains_key(&mount.volume)));
                if let Some((generation, _)) = self.machines.get(&server.id) {
                    assert_eq!(*generation, server.generation, "two of one server");
                    return;
                }
                let mounts: Vec<VolumeId> = server.mounts.iter().map(|mount| mount.volume.clone()).collect();
                self.used.extend(mounts.iter().cloned());
                self.mounts.insert(server.id.clone(), mounts);
                if self.starts.insert((server.id.clone(), server.generation)) {
                    self.machines.insert(server.id.clone(), (server.generation, MachineState::Running));
                }
            }
            Step::SuspendServer { server, generation, hibernate, .. } => {
                if let Some((there, state @ MachineState::Running)) = self.machines.get_mut(server)
                    && there == generation
                {
                    *state = MachineState::Suspended { hibernated: *hibernate };
                }
            }
            Step::WakeServer { server, generation, .. } => {
                if let Some((there, state @ MachineState::Suspended { .. })) = self.machines.get_mut(server)
                    && there == generation
                {
                    *state = MachineState::Running;
                }
            }
            Step::CreateSnapshot { snapshot } => {
                let hibernated = MachineState::Suspended { hibernated: true };
                assert!(self.machines.values().all(|(_, state)| *state != hibernated), "memory would be missing in it");
                let held = |volume: &VolumeId| *self.volumes.get(volume).expect("it is there");
                let volumes = snapshot.volumes.iter().map(|volume| (volume.volume.clone(), held(&volume.volume)));
                self.snapshots.insert(snapshot.id.clone(), (call, volumes.collect()));
            }
            Step::DeleteSnapshot { snapshot } => {
                self.snapshots.remove(snapshot);
            }
            Step::StopServer { server, generation } => {
                if self.machines.get(server).is_some_and(|(running, _)| running <= generation) {
                    self.machines.remove(server);
                }
            }
        }
    }

    /// Why a volume cannot be had.
    pub fn refusal(&self, volume: &VolumeId) -> Option<RestoreState> {
        let refused = self.refused.contains(volume);
        refused.then(|| RestoreState::Failed { reason: "Bookend may not do this".to_owned() })
    }

    pub fn kill(&mut self, server: &ServerId) {
        if let Some((_, state)) = self.machines.get_mut(server) {
            *state = MachineState::Dead { reason: "killed".into() };
        }
    }

    pub fn lose_network(&mut self) {
        self.network_lost |= self.network;
        self.network = false;
    }

    /// Whether all three servers of the simulated environment are there, with all that they stand on.
    pub fn is_whole(&self) -> bool {
        self.network && self.volumes.len() == 2 && self.machines.len() == 3
    }

    /// Nothing runs, and a network is there only for what stands by.
    pub fn stands_by(&self) -> bool {
        let by = |state: &MachineState| matches!(state, MachineState::Suspended { .. });
        self.machines.values().all(|(_, state)| by(state)) && !(self.network && self.machines.is_empty())
    }

    pub fn has_no_servers(&self) -> bool {
        self.machines.is_empty() && !self.network
    }
}
