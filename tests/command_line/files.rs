//! `cp`, and looking at snapshots.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use tests::{Outcome, Portal};

use super::Person;

#[tokio::test(flavor = "multi_thread")]
async fn files_and_folders_are_copied_in_and_out_as_people_expect_of_cp() -> Outcome {
    let portal = Portal::start().await?;
    let ann = Person::at(&portal).await?;
    ann.runs("order site --name shop --wait").await?.ended_with(0);
    let place = tempfile::tempdir()?;
    let path = |name: &str| place.path().join(name).display().to_string();
    fs::create_dir_all(place.path().join("tree/deeper"))?;
    fs::write(place.path().join("tree/run"), "#!/bin/sh\necho it runs\n")?;
    fs::set_permissions(place.path().join("tree/run"), fs::Permissions::from_mode(0o755))?;
    fs::write(place.path().join("tree/deeper/größe 100%"), "large")?;
    symlink("/etc/passwd", place.path().join("tree/link"))?;

    let copied = ann.runs(&format!("cp -r {} shop:site --json", path("tree"))).await?.ended_with(0).json();
    assert_eq!((&copied["files"], &copied["left_out"]), (&2.into(), &1.into()));
    let ran = ann.runs("exec shop/api -- /site/tree/run").await?.ended_with(0);
    assert_eq!(ran.out, "it runs\n");
    ann.runs(&format!("cp {} shop:site/", path("tree"))).await?.ended_with(2);
    ann.runs_with_input(&["cp", "-", "shop:site/tree/typed"], b"by hand").await?.ended_with(0);
    assert_eq!(ann.runs("cp shop:site/tree/typed -").await?.ended_with(0).out, "by hand");

    ann.runs("snapshot create shop --label one --wait").await?.ended_with(0);
    ann.runs_with_input(&["cp", "-", "shop:site/tree/typed"], b"again").await?.ended_with(0);
    assert_eq!(ann.runs("cp shop@latest:site/tree/typed -").await?.ended_with(0).out, "by hand");
    let kept = ann.runs_with_input(&["cp", "--no-clobber", "-", "shop:site/tree/typed"], b"no").await?;
    kept.ended_with(4);
    let diff = ann.runs("snapshot diff shop latest").await?.ended_with(0).out;
    assert!(diff.contains("1 changed") && diff.contains("~ tree/typed"), "{diff}");
    let shown = ann.runs("snapshot show shop latest").await?.ended_with(0).out;
    assert!(shown.contains("Label") && shown.contains("one") && shown.contains("DIGEST"), "{shown}");
    let verified = ann.runs("snapshot verify shop latest --json").await?.ended_with(0).json();
    assert_eq!(verified["damaged"], 0);
    ann.runs("snapshot verify shop nothing").await?.ended_with(3);

    ann.runs(&format!("cp shop@latest:site/tree {}", path("back"))).await?.ended_with(2);
    ann.runs(&format!("cp -r shop@latest:site/tree {}", path("back"))).await?.ended_with(0);
    assert_eq!(fs::read_to_string(place.path().join("back/deeper/größe 100%"))?, "large");
    assert_eq!(fs::read_to_string(place.path().join("back/typed"))?, "by hand");
    assert_eq!(fs::metadata(place.path().join("back/run"))?.permissions().mode() & 0o111, 0o111);
    fs::create_dir(place.path().join("there"))?;
    ann.runs(&format!("cp shop:site/tree/typed {}", path("there"))).await?.ended_with(0);
    assert_eq!(fs::read_to_string(place.path().join("there/typed"))?, "again");

    ann.runs("cp shop:site/nowhere -").await?.ended_with(3);
    ann.runs("cp shop:nothing/x -").await?.ended_with(3);
    ann.runs("cp a b").await?.ended_with(2);
    ann.runs("cp shop:site/a shop:site/b").await?.ended_with(2);
    ann.runs("delete shop --yes --wait").await?.ended_with(0);
    Ok(())
}
