//! What people's programs leave in volumes: files with holes larger than the disk's room for them, names that are no text,
//! links that lead away, and very many small files. It comes back as it was, and takes no more room than it did.

use app::api::Role;
use serde_json::{Value, json};
use tests::house::Plan;
use tests::{Guest, House, Outcome};

const UNUSUAL: &str = r#"name: unusual
version: "1"
title: Unusual
summary: One server with a volume.
category: Tests
servers:
  box: {}
volumes:
  data: {size: 1 GiB, mounts: {box: /data}}
"#;

/// Ten gigabytes with a word in the middle and one at the end.
const MAKE_SPARSE: &str = "cd /data && truncate -s 10G image && \
    printf middle | dd of=image bs=1 seek=5368709120 conv=notrunc status=none && \
    printf last | dd of=image bs=1 seek=10737418236 conv=notrunc status=none && \
    ln image same && ln -s /etc/passwd away && printf a > \"$(printf 'new\\nline')\" && \
    printf b > \"$(printf 'not \\377 text')\" && sync";
/// What there is of it: names byte by byte, sizes, number of names, where links lead, and the words.
const TELL_SPARSE: &str = "cd /data && for name in *; do printf %s \"$name\" | od -An -c; \
    stat -c '%F %s %h %U %a %Y' \"$name\"; done; readlink away; cat n*; \
    dd if=image bs=1 skip=5368709120 count=6 status=none; tail -c 4 same";
/// Kibibytes on the disk.
const ROOM: &str = "du -sk /data | cut -f1";

/// So many, with as many files in each.
const FOLDERS: u32 = 40;
/// The agent's own note that the volume's server was set up, in a folder of its own.
const NOTES: u32 = 1;

struct Place {
    house: House,
    ann: Guest,
}

impl Place {
    async fn open() -> Outcome<Place> {
        let house = House::built(Plan { templates: vec![("unusual.yaml", UNUSUAL.into())], ..Plan::default() }).await?;
        let ann = house.guest("default", "ann", Role::User).await?;
        ann.order("unusual", "shop").await?;
        ann.api()?.await_state("shop", "ready").await?;
        Ok(Place { house, ann })
    }

    async fn run(&self, environment: &str, script: &str) -> Outcome<String> {
        let (told, code) = self.ann.exec(environment, "box", &["sh", "-c", script]).await?;
        match code.trim() {
            "0" | "{\"code\":0}" => Ok(told),
            code => Err(format!("{script} ended with {code}: {told}").into()),
        }
    }

    /// A complete snapshot of it.
    async fn keep(&self, environment: &str) -> Outcome<Value> {
        self.ann.post(&format!("/environments/{environment}/snapshots"), &json!({})).await?.expect_success()?;
        let over = |all: &Value| all[0]["state"] != "wanted" && all[0]["state"] != "reading";
        let all = self.ann.api()?.await_below(environment, "/snapshots", "over", over).await?;
        assert_eq!(all[0]["state"], "complete", "{all:#}");
        Ok(all[0].clone())
    }

    /// Back to the snapshot, after everything was lost.
    async fn lose_and_restore(&self, snapshot: &Value) -> Outcome {
        self.run("shop", "find /data -mindepth 1 -delete").await?;
        let request = json!({ "snapshot": snapshot["id"] });
        self.ann.post("/environments/shop/restore", &request).await?.expect_success()?;
        self.ann.api()?.await_state("shop", "ready").await?;
        Ok(())
    }

    async fn copy(&self, snapshot: &Value) -> Outcome {
        let data = json!({ "environment": "shop", "snapshot": snapshot["id"] });
        let order = json!({ "template": "unusual", "name": "twin", "data": data });
        self.ann.post("/environments", &order).await?.expect_success()?;
        self.ann.api()?.await_state("twin", "ready").await?;
        Ok(())
    }

    async fn end(self) -> Outcome {
        for name in ["shop", "twin"] {
            self.ann.api()?.act(name, "delete").await?;
        }
        drop(self.house);
        Ok(())
    }
}

fn volume(snapshot: &Value) -> &Value {
    &snapshot["volumes"][0]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sparse_file_of_ten_gigabytes_and_names_that_are_no_text_come_back_as_they_were() -> Outcome {
    let place = Place::open().await?;
    place.run("shop", MAKE_SPARSE).await?;
    let told = place.run("shop", TELL_SPARSE).await?;
    assert!(told.contains("/etc/passwd") && told.ends_with("middlelast"), "{told}");
    let kept = place.keep("shop").await?;
    let held = volume(&kept);
    assert_eq!((&held["files"], &held["bytes"]), (&json!(4 + NOTES), &json!((10u64 << 30) + 2)), "{held:#}");
    assert!(held["stored_bytes"].as_u64().is_some_and(|stored| stored < 1 << 20), "{held:#}");
    place.lose_and_restore(&kept).await?;
    place.copy(&kept).await?;
    for environment in ["shop", "twin"] {
        assert_eq!(place.run(environment, TELL_SPARSE).await?, told, "{environment}");
        let room: u64 = place.run(environment, ROOM).await?.trim().parse()?;
        assert!(room < 1024, "{environment} takes {room} KiB");
        assert_eq!(volume(&place.keep(environment).await?)["digest"], held["digest"], "{environment}");
    }
    place.end().await
}

/// Few of many: a hundred thousand in one folder are a provisioner's own story, and twenty thousand the bench's.
#[tokio::test(flavor = "multi_thread")]
async fn many_small_files_come_back_and_into_a_copy() -> Outcome {
    let place = Place::open().await?;
    let make = format!(
        "cd /data && seq {FOLDERS} | xargs mkdir && \
         for folder in *; do (cd $folder && seq {FOLDERS} | split -l 1 -a 3 - f); done"
    );
    place.run("shop", &make).await?;
    let kept = place.keep("shop").await?;
    let held = volume(&kept);
    let (files, folders) = (FOLDERS * FOLDERS + NOTES, 1 + FOLDERS + NOTES);
    assert_eq!((&held["files"], &held["directories"]), (&json!(files), &json!(folders)), "{held:#}");
    place.lose_and_restore(&kept).await?;
    place.copy(&kept).await?;
    for environment in ["shop", "twin"] {
        assert_eq!(volume(&place.keep(environment).await?)["digest"], held["digest"], "{environment}");
    }
    place.end().await
}
