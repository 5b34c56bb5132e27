//! Bodies: a running instance is a real server on this machine, its volumes are directories, its snapshots copies of them.
//!
//! Each instance that was given user-data runs it as a first boot does, in a sandbox without privileges over the machine, on a
//! root directory of its own that stays while it is stopped. One holder is the whole VPC: a bridge that all instances are on.
//! Nothing leads out of it but the gateway's address, behind which is the portal alone; 169.254.169.254 answers as on Amazon.
//!
//! What has to be done is decided by comparing the truth with what is on the disk ([`plan`]), after each call that changed
//! something, before its answer, and ten times a second for what comes with time. So a snapshot holds the moment its call was
//! accepted, and a fake that was killed takes up where it was, or rather from nothing: its truth was in memory.
//!
//! An instance with other processors than this machine's has its services, and so the agent, run by QEMU (Debian's
//! qemu-user-static); whatever they start is this machine's software and runs as such.
//!
//! A directory stands in for a block device: it appears as `/dev/disk/bookend/vol-…`. Bodies end with the fake, however it
//! ends ([`lifeline`]). Deliberately absent: a way out to the internet, reboots, root volumes in snapshots.

mod boot;
mod disks;
mod house;
mod lifeline;
mod metadata;
mod plan;
mod portal;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

pub use lifeline::{COMMAND as LIFELINE, run as run_lifeline};
pub use metadata::{COMMAND as SURROUNDINGS, run as run_surroundings};

use crate::cloud::Truth;
use disks::Disks;
use house::House;
use plan::{Step, plan};

/// The gateway of the VPC, where instances find the portal.
pub const GATEWAY: std::net::Ipv4Addr = std::net::Ipv4Addr::new(172, 31, 0, 1);

/// All bodies of one fake.
pub struct Bodies {
    /// One at a time: what is decided must still hold when it is done.
    inner: Mutex<Inner>,
}

struct Inner {
    disks: Disks,
    house: House,
}

impl Bodies {
    /// In a directory of their own, whatever was in it before. `portal`: what instances reach at the gateway's address, on the
    /// same port.
    ///
    /// # Errors
    /// In words, when this machine cannot hold them.
    pub fn open(directory: &Path, portal: Option<SocketAddr>) -> Result<Self, String> {
        let disks = Disks::open(directory)?;
        let house = House::open(disks.directory(), disks.owner(), portal)?;
        Ok(Self { inner: Mutex::new(Inner { disks, house }) })
    }

    /// Makes what is on this machine as the truth has it. Failures are told and tried again the next time.
    pub fn follow(&self, truth: impl FnOnce() -> Truth) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let truth = &truth();
        let mut have = inner.disks.have();
        have.running = inner.house.running();
        for step in plan(truth, &have) {
            if let Err(error) = inner.act(&step, truth) {
                eprintln!("fake-ec2: {step}: {error}");
            }
        }
        inner.disks.tell(truth);
    }
}

impl Inner {
    fn act(&mut self, step: &Step, truth: &Truth) -> Result<(), String> {
        match step {
            Step::Stop { instance } => self.house.stop(instance),
            Step::MakeVolume { volume, from } => self.disks.make_volume(volume, from.as_deref()),
            Step::Keep { snapshot, of } => self.disks.keep(snapshot, of),
            Step::Copy { snapshot, of } => self.disks.copy(snapshot, of),
            Step::Attach { volume, instance } => self.disks.attach(volume, instance),
            Step::Detach { volume, instance } => self.disks.detach(volume, instance),
            Step::Start { instance, boot, address, architecture, user_data } => {
                self.disks.make_root(instance, user_data)?;
                // It may ask who it is in its first moment.
                self.disks.tell(truth);
                self.house.start(instance, *boot, *address, architecture)
            }
            Step::ForgetInstance { instance } => self.disks.forget_instance(instance),
            Step::ForgetVolume { volume } => self.disks.forget_volume(volume),
            Step::ForgetSnapshot { snapshot } => self.disks.forget_snapshot(snapshot),
        }
    }
}
