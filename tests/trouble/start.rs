//! What stands in the way at the start is said clearly, and the data are as they were.

use std::net::TcpListener;
use std::path::{Path, PathBuf};

use tests::portal::Disk;
use tests::{Outcome, Portal, Setting};

#[tokio::test]
async fn a_taken_port_is_named_with_what_to_do() -> Outcome {
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let address = taken.local_addr()?;
    let said = Setting::new()?.listen(address).refusal().await?;
    assert_says(&said, &[&address.to_string(), "another program", "--listen"]);
    Ok(())
}

#[tokio::test]
async fn a_second_portal_on_the_same_data_is_refused_and_the_first_goes_on() -> Outcome {
    let portal = Portal::start().await?;
    let data = portal.data_directory();
    let said = Setting::new()?.on(data.clone()).refusal().await?;
    assert_says(&said, &["another portal", path(&data)]);
    portal.administrator().await?.get("/environments").await?.expect_success()?;
    Ok(())
}

#[tokio::test]
async fn data_of_a_newer_version_are_refused_and_left_as_they_are() -> Outcome {
    let mut portal = Portal::start().await?;
    portal.stop().await?;
    let database = sqlite_file(&portal.data_directory())?;
    sqlx::any::install_default_drivers();
    let mut connection =
        <sqlx::AnyConnection as sqlx::Connection>::connect(&format!("sqlite://{}", path(&database))).await?;
    sqlx::query("insert into _sqlx_migrations (version, description, success, checksum, execution_time) values (9999, 'of the future', 1, x'00', 0)")
        .execute(&mut connection)
        .await?;
    sqlx::Connection::close(connection).await?;
    let before = std::fs::read(&database)?;

    let problem = portal.start_again().await.expect_err("started on data of a newer version").to_string();
    assert_says(&problem, &["newer", "--data-dir"]);
    assert!(before == std::fs::read(&database)?, "the database was written to");
    Ok(())
}

#[tokio::test]
async fn a_full_disk_at_the_start_is_said() -> Outcome {
    let said = Setting::new()?.small_disk(Disk::Full).refusal().await?;
    assert_says(&said, &["full"]);
    Ok(())
}

#[tokio::test]
async fn a_disk_that_fills_up_costs_no_confirmed_order_and_is_over_when_there_is_room_again() -> Outcome {
    let portal = Setting::new()?.small_disk(Disk::Empty).start().await?;
    let api = portal.administrator().await?;
    let inside = portal.data_directory_inside();
    let filling = inside.join("fill");
    fill(&filling)?;

    let refused = api.post("/environments", serde_json::json!({ "template": "scratch", "name": "full" })).await?;
    assert!(refused.status.is_server_error(), "{refused:?}");
    assert_says(&refused.body.to_string(), &["disk"]);

    std::fs::remove_file(&filling)?;
    assert_eq!(api.get("/environments/full").await?.status, 404, "what was refused must not exist");
    api.order("scratch", "roomy").await?;
    Ok(())
}

#[tokio::test]
async fn a_missing_bubblewrap_is_said_with_how_to_get_it() -> Outcome {
    let hide = "mount --bind /dev/null \"$(command -v bwrap)\" && exec \"$@\"";
    let root = if rustix::process::geteuid().is_root() { &[][..] } else { &["--user", "--map-root-user"] };
    let inside = [&["unshare", "--mount"], root, &["--", "sh", "-c", hide, "sh"]].concat();
    let said = Setting::new()?.inside(&inside).refusal().await?;
    assert_says(&said, &["bubblewrap", "apt-get install"]);
    Ok(())
}

#[tokio::test]
async fn a_kernel_that_forbids_user_namespaces_is_said() -> Outcome {
    // In a user namespace of its own the limit can be set to none; the capabilities for that must not reach the portal.
    let forbid = "echo 0 > /proc/sys/user/max_user_namespaces \
        && exec setpriv --ambient-caps=-all --inh-caps=-all -- \"$@\"";
    let as_somebody = ["unshare", "--user", "--map-user=1000", "--map-group=1000", "--keep-caps", "--"];
    let inside = [&as_somebody[..], &["sh", "-c", forbid, "sh"]].concat();
    let said = Setting::new()?.inside(&inside).refusal().await?;
    assert_says(&said, &["namespaces"]);
    Ok(())
}

fn assert_says(said: &str, words: &[&str]) {
    for word in words {
        assert!(said.to_lowercase().contains(&word.to_lowercase()), "{word:?} is missing in what it said:\n{said}");
    }
}

fn path(path: &Path) -> &str {
    path.to_str().expect("paths of tests are UTF-8")
}

fn fill(file: &Path) -> Outcome {
    use std::io::Write;
    let mut file = std::fs::File::create(file)?;
    for size in [1 << 20, 1 << 12, 1] {
        while file.write_all(&vec![0; size]).is_ok() {}
    }
    Ok(())
}

fn sqlite_file(folder: &Path) -> Outcome<PathBuf> {
    for entry in std::fs::read_dir(folder)?.flatten() {
        let begins = std::fs::read(entry.path()).unwrap_or_default();
        if begins.starts_with(b"SQLite format 3\0") {
            return Ok(entry.path());
        }
    }
    Err(format!("There is no SQLite file in {}", folder.display()).into())
}
