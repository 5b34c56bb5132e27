//! The history of the tables: the files of `migrations/` in their order, compiled in, and applied when a database is opened.

use futures::future::BoxFuture;
use sqlx::error::BoxDynError;
use sqlx::migrate::{MigrateError, Migration, MigrationSource, MigrationType, Migrator};
use sqlx::{AnyConnection, SqlStr};

use super::StoreError;

const MIGRATIONS: [(i64, &str, &str); 21] = [
    (1, "foundation", include_str!("../../../migrations/0001_foundation.sql")),
    (2, "app access", include_str!("../../../migrations/0002_app_access.sql")),
    (3, "force", include_str!("../../../migrations/0003_force.sql")),
    (4, "first ready", include_str!("../../../migrations/0004_first_ready.sql")),
    (5, "shop", include_str!("../../../migrations/0005_shop.sql")),
    (6, "description", include_str!("../../../migrations/0006_description.sql")),
    (7, "house", include_str!("../../../migrations/0007_house.sql")),
    (8, "snapshots", include_str!("../../../migrations/0008_snapshots.sql")),
    (9, "change", include_str!("../../../migrations/0009_change.sql")),
    (10, "snapshot rules", include_str!("../../../migrations/0010_snapshot_rules.sql")),
    (11, "repository", include_str!("../../../migrations/0011_repository.sql")),
    (12, "drills", include_str!("../../../migrations/0012_drills.sql")),
    (13, "snapshot rule", include_str!("../../../migrations/0013_snapshot_rule.sql")),
    (14, "elsewhere", include_str!("../../../migrations/0014_elsewhere.sql")),
    (15, "ledger", include_str!("../../../migrations/0015_ledger.sql")),
    (16, "orphans", include_str!("../../../migrations/0016_orphans.sql")),
    (17, "people first", include_str!("../../../migrations/0017_people_first.sql")),
    (18, "park by snapshot", include_str!("../../../migrations/0018_park_by_snapshot.sql")),
    (19, "snapshot copies", include_str!("../../../migrations/0019_snapshot_copies.sql")),
    (20, "alerts", include_str!("../../../migrations/0020_alerts.sql")),
    (21, "tries", include_str!("../../../migrations/0021_tries.sql")),
];

/// Brings the tables up to date.
///
/// # Errors
/// [`StoreError::Newer`] when they are ahead of this program; nothing was changed then.
pub(super) async fn migrate(connection: &mut AnyConnection) -> Result<(), StoreError> {
    let failed = |error| StoreError::Migration(Box::new(error));
    let migrator = Migrator::new(Embedded).await.map_err(failed)?;
    migrator.run(connection).await.map_err(|error| match error {
        MigrateError::VersionMissing(version) | MigrateError::VersionMismatch(version) => StoreError::Newer { version },
        other => failed(other),
    })
}

/// [`MIGRATIONS`] as sqlx wants them. Its macro that reads the folder would have every build compile both databases twice.
#[derive(Debug)]
struct Embedded;

impl MigrationSource<'static> for Embedded {
    fn resolve(self) -> BoxFuture<'static, Result<Vec<Migration>, BoxDynError>> {
        let migration = |(version, description, sql): (i64, &'static str, &'static str)| {
            Migration::new(version, description.into(), MigrationType::Simple, SqlStr::from_static(sql), false)
        };
        Box::pin(std::future::ready(Ok(MIGRATIONS.map(migration).into())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_folder_is_applied_in_its_order() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../migrations");
        let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
        files.sort_unstable();
        let expected: Vec<_> = files
            .iter()
            .map(|path| {
                let name = path.file_stem().unwrap().to_str().unwrap();
                let (version, description) = name.split_once('_').unwrap();
                (version.parse().unwrap(), description.replace('_', " "), std::fs::read_to_string(path).unwrap())
            })
            .collect();
        let applied: Vec<(i64, String, String)> =
            MIGRATIONS.iter().map(|(version, words, sql)| (*version, (*words).into(), (*sql).into())).collect();
        assert!(applied == expected, "migrations/ and MIGRATIONS differ");
    }
}
