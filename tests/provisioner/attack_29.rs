//! Attack 29: what servers leave in their volumes to lead the portal elsewhere, when files are put there and brought back.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use provisioners::conformance::settled;
use provisioners::local::SERVERS_USER;
use provisioners::{
    Effect, EffectToken, EnvironmentId, FileKind, FileWrite, ProvisionError, Provisioner, SnapshotId, SnapshotPlan,
    SnapshotVolume, Step, Told, Tree, VolumeId, VolumePlan,
};
use tests::Outcome;

use super::place::LocalPlace;

const REPLACE: FileWrite = FileWrite { replace: true, executable: false };

/// A volume as a server may leave it, and what must stay as it is.
pub struct Trap {
    pub provisioner: Box<dyn Provisioner>,
    /// Gone last, with all that is in it.
    _place: LocalPlace,
    pub now: Tree,
    pub data: PathBuf,
    outside: PathBuf,
}

impl Trap {
    async fn set() -> Outcome<Trap> {
        Self::at(LocalPlace::new()).await
    }

    pub async fn at(place: LocalPlace) -> Outcome<Trap> {
        let provisioner: Box<dyn Provisioner> = Box::new(place.local().await);
        let (environment, volume) = (EnvironmentId::new("trap"), VolumeId::new("data"));
        let plan = VolumePlan { id: volume.clone(), name: "data".into(), size_bytes: 1 << 20, from: None };
        let data = place.volume(&environment, "data");
        let outside = place.directory.path().join("outside");
        fs::create_dir(&outside)?;
        fs::write(outside.join("secret"), "of the portal")?;
        let now = Tree { environment, snapshot: None, volume };
        let trap = Trap { provisioner, _place: place, now, data, outside };
        trap.request(Step::CreateVolume { volume: plan }).await?;
        Ok(trap)
    }

    pub async fn request(&self, step: Step) -> Outcome {
        let token = EffectToken::new("0".repeat(64));
        let effect = Effect {
            token,
            environment: self.now.environment.clone(),
            step,
            call: 1,
            enrolment: None,
            by_schedule: false,
        };
        Ok(self.provisioner.request(&effect).await?)
    }

    pub async fn snapshot(&self) -> Outcome<Tree> {
        let id = SnapshotId::new("snapshot");
        let volumes = vec![SnapshotVolume { volume: self.now.volume.clone(), name: "data".into() }];
        self.request(Step::CreateSnapshot { snapshot: SnapshotPlan { id: id.clone(), volumes } }).await?;
        settled(self.provisioner.as_ref(), &self.now.environment).await;
        Ok(Tree { snapshot: Some(id), ..self.now.clone() })
    }

    async fn write(&self, path: &str) -> Result<(), ProvisionError> {
        self.provisioner.write_file(&self.now, path.as_bytes(), REPLACE, &mut &b"evil"[..]).await.map(drop)
    }

    fn outside_is_untouched(&self) -> Outcome<bool> {
        let names = fs::read_dir(&self.outside)?.count();
        Ok(names == 1 && fs::read_to_string(self.outside.join("secret"))? == "of the portal")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn attack_29_no_link_leads_what_is_put_into_a_volume_out_of_it() -> Outcome {
    let trap = Trap::set().await?;
    symlink(&trap.outside, trap.data.join("absolute"))?;
    symlink("absolute", trap.data.join("chain"))?;
    symlink("chain/../outside", trap.data.join("longer"))?;
    symlink(trap.outside.join("secret"), trap.data.join("file"))?;
    symlink(trap.outside.join("fresh"), trap.data.join("dangling"))?;
    for path in ["absolute/evil", "chain/evil", "longer/evil", "absolute/deeper/evil", "file/evil", "dangling/evil"] {
        let written = trap.write(path).await;
        assert!(matches!(written, Err(ProvisionError::Rejected { .. })), "{path}: {written:?}");
    }
    // A link itself may make way for a file: where it leads, nothing changes.
    for path in ["file", "dangling"] {
        trap.write(path).await?;
        assert!(fs::symlink_metadata(trap.data.join(path))?.is_file());
    }
    assert!(trap.outside_is_untouched()?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn attack_29_what_comes_back_is_what_it_was_and_lends_nobody_rights() -> Outcome {
    let trap = Trap::set().await?;
    let folder = trap.data.join("folder");
    fs::create_dir(&folder)?;
    fs::write(folder.join("run"), "#!/bin/sh\n")?;
    fs::set_permissions(folder.join("run"), fs::Permissions::from_mode(0o6755))?;
    fs::hard_link(folder.join("run"), folder.join("again"))?;
    fs::hard_link(folder.join("run"), trap.data.join("elsewhere"))?;
    symlink(trap.outside.join("secret"), folder.join("link"))?;
    if rustix::process::geteuid().is_root() {
        let (kind, mode) = (rustix::fs::FileType::CharacterDevice, rustix::fs::Mode::RUSR);
        let null = rustix::fs::makedev(1, 3);
        rustix::fs::mknodat(rustix::fs::CWD, folder.join("device"), kind, mode, null)?;
    }
    let then = trap.snapshot().await?;
    fs::remove_dir_all(&folder)?;
    // Where it is to go, a link waits for it.
    symlink(&trap.outside, &folder)?;
    let back = trap.provisioner.restore_file((&then, b"folder"), (&trap.now, b"folder"), true, &Told::default()).await;
    assert!(matches!(back, Err(ProvisionError::Rejected { .. })), "a folder in a link's place: {back:?}");
    let inside =
        trap.provisioner.restore_file((&then, b"folder/run"), (&trap.now, b"folder/run"), true, &Told::default()).await;
    assert!(matches!(inside, Err(ProvisionError::Rejected { .. })), "{inside:?}");
    fs::remove_file(&folder)?;
    trap.provisioner.restore_file((&then, b"folder"), (&trap.now, b"folder"), false, &Told::default()).await?;
    let run = fs::symlink_metadata(folder.join("run"))?;
    assert_eq!((run.mode() & 0o7777, run.nlink()), (0o755, 2), "no setuid, linked within the folder and nowhere else");
    assert_eq!(run.ino(), fs::symlink_metadata(folder.join("again"))?.ino());
    assert!(fs::symlink_metadata(folder.join("link"))?.is_symlink(), "a link comes back as a link");
    assert!(fs::symlink_metadata(folder.join("device")).is_err(), "a device does not come back");
    // One of several names alone.
    let alone =
        trap.provisioner.restore_file((&then, b"elsewhere"), (&trap.now, b"alone"), false, &Told::default()).await?;
    assert_eq!((alone.kind, alone.mode & 0o7777), (FileKind::File, 0o755));
    trap.write("folder/run").await?;
    let put = fs::symlink_metadata(folder.join("run"))?;
    assert_eq!(put.mode() & 0o7777, 0o644);
    if rustix::process::geteuid().is_root() {
        assert_eq!((put.uid(), put.gid()), (SERVERS_USER, SERVERS_USER), "it is the servers' own");
    }
    assert!(trap.outside_is_untouched()?);
    Ok(())
}

/// A server that changes a folder into a link and back all the time while files are put into it.
#[tokio::test(flavor = "multi_thread")]
async fn attack_29_a_folder_that_becomes_a_link_meanwhile_leads_nowhere() -> Outcome {
    let trap = Trap::set().await?;
    let (folder, link) = (trap.data.join("folder"), trap.data.join("link"));
    fs::create_dir(&folder)?;
    symlink(&trap.outside, &link)?;
    let over = std::sync::Arc::new(AtomicBool::new(false));
    let racing = std::sync::Arc::clone(&over);
    let racer = std::thread::spawn(move || {
        let here = rustix::fs::CWD;
        while !racing.load(Ordering::Relaxed) {
            let exchange = rustix::fs::RenameFlags::EXCHANGE;
            rustix::fs::renameat_with(here, &folder, here, &link, exchange).expect("one in the other's place");
        }
    });
    for number in 0..200 {
        // It may be either at any moment: that it is refused is as good as that it is done.
        let _ = trap.write(&format!("folder/{number}")).await;
    }
    over.store(true, Ordering::Relaxed);
    racer.join().map_err(|_| "the server stumbled")?;
    assert!(trap.outside_is_untouched()?);
    Ok(())
}
