//! Volumes with more in them than fits on a page or a disk.

use std::fs;

use provisioners::conformance::settled;
use provisioners::{FileWrite, ProvisionError, Step, Told, Tree, VolumeId, VolumePlan, VolumeSource};
use rustix::fs::FallocateFlags;
use tests::Outcome;
use tokio::io::AsyncReadExt;

use super::attack_29::Trap;
use super::place::LocalPlace;

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_thousand_files_in_one_folder_are_told_page_by_page() -> Outcome {
    const FILES: usize = 100_000;
    let trap = Trap::at(LocalPlace::new()).await?;
    let folder = trap.data.join("many");
    fs::create_dir(&folder)?;
    let first = folder.join("0");
    fs::write(&first, "")?;
    for number in 1..FILES {
        // Names are what counts; filesystems limit how many one file may have.
        let name = folder.join(number.to_string());
        fs::hard_link(&first, &name).or_else(|_| fs::write(&name, ""))?;
    }
    let mut names: Vec<Vec<u8>> = Vec::new();
    loop {
        let after = names.last().map(Vec::as_slice);
        let page = trap.provisioner.list_files(&trap.now, b"many", after, 5_000).await?;
        if page.is_empty() {
            break;
        }
        names.extend(page.into_iter().map(|entry| entry.name));
    }
    assert_eq!(names.len(), FILES);
    assert!(names.is_sorted() && names.windows(2).all(|two| two[0] != two[1]));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_thousand_small_files_are_kept_and_come_back() -> Outcome {
    const FOLDERS: usize = 100;
    const FILES: usize = 1_000;
    let trap = Trap::at(LocalPlace::new()).await?;
    for folder in 0..FOLDERS {
        let folder = trap.data.join(folder.to_string());
        fs::create_dir(&folder)?;
        for file in 0..FILES {
            fs::write(folder.join(file.to_string()), file.to_string())?;
        }
    }
    let then = trap.snapshot().await?;
    let source = VolumeSource {
        environment: then.environment.clone(),
        snapshot: then.snapshot.clone().ok_or("no snapshot")?,
        volume: then.volume.clone(),
    };
    let id = VolumeId::new("restored");
    let plan = VolumePlan { id: id.clone(), name: "data".into(), size_bytes: 1 << 30, from: Some(source) };
    trap.request(Step::CreateVolume { volume: plan }).await?;
    let seen = settled(trap.provisioner.as_ref(), &then.environment).await;
    assert!(seen.volumes.contains(&id), "{seen:?}");
    let files: u64 =
        seen.snapshots[0].contents.iter().filter_map(|one| one.manifest.as_ref()).map(|one| one.files).sum();
    assert_eq!(files, (FOLDERS * FILES) as u64);
    let restored = Tree { volume: id, ..trap.now.clone() };
    let compared = trap.provisioner.compare(&then, &restored, 10, &Told::default()).await?;
    assert_eq!((compared.added, compared.changed, compared.removed), (0, 0, 0), "{compared:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_does_not_fit_on_the_disk_changes_nothing() -> Outcome {
    const LEFT: u64 = 16 << 20;
    if !rustix::process::geteuid().is_root() {
        eprintln!("Only root can mount a disk to fill: this story is told where root runs the tests.");
        return Ok(());
    }
    let trap = Trap::at(LocalPlace::on("xfs")).await?;
    let write = FileWrite { replace: true, executable: false };
    trap.provisioner.write_file(&trap.now, b"kept", write, &mut &b"as it was"[..]).await?;
    let filler = fs::File::create(trap.data.join("filler"))?;
    let disk = rustix::fs::fstatvfs(&filler)?;
    let free = disk.f_bavail * disk.f_frsize;
    rustix::fs::fallocate(&filler, FallocateFlags::empty(), 0, free.saturating_sub(LEFT))?;
    let mut large = tokio::io::repeat(b'x').take(4 * LEFT);
    let refused = trap.provisioner.write_file(&trap.now, b"kept", write, &mut large).await;
    let Err(ProvisionError::Retryable { message, .. }) = refused else { return Err("it fits".into()) };
    assert!(message.contains("full"), "{message}");
    assert_eq!(fs::read(trap.data.join("kept"))?, b"as it was");
    // What had come of it makes room again; the disk itself gives that back a moment later.
    while rustix::fs::fstatvfs(&filler)?.f_bavail * disk.f_frsize < LEFT / 2 {
        tokio::task::yield_now().await;
    }
    let mut small = tokio::io::repeat(b'x').take(LEFT / 4);
    trap.provisioner.write_file(&trap.now, b"small", write, &mut small).await?;
    assert_eq!(fs::metadata(trap.data.join("small"))?.len(), LEFT / 4);
    Ok(())
}
