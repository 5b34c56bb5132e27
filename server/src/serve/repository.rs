//! The portable repository as it is named at start: where it is, and where what opens it is read from. Secrets come from files
//! or the environment, never from the command line, which every user of the machine may read.

use std::path::{Path, PathBuf};

use repository::{Bucket, Config, Place, Secret};

use super::StartError;
use crate::domain::repository::ExportPolicy;
use crate::engine::RepositorySettings;

const PASSWORD: &str = "BOOKEND_REPOSITORY_PASSWORD";
const ACCESS_KEY: &str = "AWS_ACCESS_KEY_ID";
const SECRET_KEY: &str = "AWS_SECRET_ACCESS_KEY";
const KEEP_DAYS: u32 = 30;

/// What `bookend serve` is told of the repository.
#[derive(Clone, Debug, clap::Args)]
pub struct RepositoryOptions {
    /// Where copies of snapshots are kept, in restic's format: a folder (on another disk), or s3://BUCKET/PREFIX. Made when
    /// it is empty; nothing leaves this machine when absent.
    #[arg(long, value_name = "PLACE", env = "BOOKEND_REPOSITORY")]
    pub repository: Option<String>,

    /// File with the repository's password on its first line; else BOOKEND_REPOSITORY_PASSWORD in the environment has it.
    /// Without it nobody reads the repository again: keep a copy elsewhere.
    #[arg(long, value_name = "FILE", env = "BOOKEND_REPOSITORY_PASSWORD_FILE")]
    pub repository_password_file: Option<PathBuf>,

    /// Server that speaks S3, when it is not Amazon's (https://minio.example.com).
    #[arg(long, value_name = "URL", env = "BOOKEND_REPOSITORY_ENDPOINT")]
    pub repository_endpoint: Option<String>,

    /// Region of the bucket.
    #[arg(long, value_name = "REGION", env = "BOOKEND_REPOSITORY_REGION", default_value = "us-east-1")]
    pub repository_region: String,

    /// File with the bucket's keys, as Amazon's tools have them (aws_access_key_id = …, aws_secret_access_key = …); else
    /// AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment have them.
    #[arg(long, value_name = "FILE", env = "BOOKEND_REPOSITORY_KEYS_FILE")]
    pub repository_keys_file: Option<PathBuf>,

    /// Which snapshots go there by themselves.
    #[arg(long, value_name = "WHICH", env = "BOOKEND_REPOSITORY_EXPORT", default_value = "all")]
    pub repository_export: ExportPolicy,

    /// Days for which copies stay after their snapshots were deleted here.
    #[arg(long, value_name = "DAYS", env = "BOOKEND_REPOSITORY_KEEP_DAYS", default_value_t = KEEP_DAYS)]
    #[arg(value_parser = clap::value_parser!(u32).range(0..=36_500))]
    pub repository_keep_days: u32,
}

/// As when nothing is said.
impl Default for RepositoryOptions {
    fn default() -> Self {
        Self {
            repository: None,
            repository_password_file: None,
            repository_endpoint: None,
            repository_region: "us-east-1".to_owned(),
            repository_keys_file: None,
            repository_export: ExportPolicy::default(),
            repository_keep_days: KEEP_DAYS,
        }
    }
}

impl RepositoryOptions {
    /// Reads the secrets. `None`: there is to be no repository. `variable` is the environment.
    ///
    /// # Errors
    /// What is missing, and where to give it.
    pub fn settings(
        &self,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<RepositorySettings>, StartError> {
        let Some(named) = self.repository.as_deref().filter(|place| !place.is_empty()) else { return Ok(None) };
        let place = match named.split_once("://") {
            Some(("s3", rest)) => Place::Bucket(self.bucket(rest, &variable)?),
            Some(_) => {
                let why = format!("“{named}” is neither a folder nor s3://BUCKET/PREFIX");
                return Err(StartError::Repository(why));
            }
            None => Place::Folder(absolute(Path::new(named))?),
        };
        let password = match &self.repository_password_file {
            Some(file) => read(file)?.lines().next().unwrap_or_default().to_owned(),
            None => variable(PASSWORD).unwrap_or_default(),
        };
        if password.is_empty() {
            let why =
                format!("no password is given for it: name a file with --repository-password-file, or set {PASSWORD}");
            return Err(StartError::Repository(why));
        }
        let config = Config { place, password: Secret::new(password) };
        Ok(Some(RepositorySettings { config, policy: self.repository_export, keep_days: self.repository_keep_days }))
    }

    fn bucket(&self, place: &str, variable: impl Fn(&str) -> Option<String>) -> Result<Bucket, StartError> {
        let (name, prefix) = place.split_once('/').unwrap_or((place, ""));
        let keys = self.repository_keys_file.as_deref().map(read).transpose()?;
        let key = |key: &str| match &keys {
            Some(text) => value_of(text, &key.to_ascii_lowercase()),
            None => variable(key),
        };
        let missing = |what: &str| {
            let why =
                format!("{what} is not given: set it in the environment, or in a file for --repository-keys-file");
            StartError::Repository(why)
        };
        let region = self.repository_region.clone();
        let endpoint = self.repository_endpoint.clone();
        Ok(Bucket {
            endpoint: endpoint.unwrap_or_else(|| format!("https://s3.{region}.amazonaws.com")),
            name: name.to_owned(),
            prefix: prefix.to_owned(),
            region,
            access_key: key(ACCESS_KEY).ok_or_else(|| missing(ACCESS_KEY))?,
            secret_key: Secret::new(key(SECRET_KEY).ok_or_else(|| missing(SECRET_KEY))?),
        })
    }
}

fn absolute(folder: &Path) -> Result<PathBuf, StartError> {
    std::path::absolute(folder).map_err(|error| StartError::Repository(format!("{}: {error}", folder.display())))
}

/// Says of a file that cannot be read which one, and nothing of what is in it.
fn read(file: &Path) -> Result<String, StartError> {
    std::fs::read_to_string(file)
        .map_err(|error| StartError::Repository(format!("the file {} cannot be read: {error}", file.display())))
}

/// `name = value`, on the first line that has it.
fn value_of(text: &str, name: &str) -> Option<String> {
    let pairs = text.lines().filter_map(|line| line.split_once('='));
    pairs
        .map(|(name, value)| (name.trim(), value.trim()))
        .find(|(other, _)| *other == name)
        .map(|(_, value)| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> RepositoryOptions {
        RepositoryOptions { repository: Some("/copies".into()), ..RepositoryOptions::default() }
    }

    fn nothing(_: &str) -> Option<String> {
        None
    }

    #[test]
    fn without_a_place_there_is_no_repository_and_nothing_is_asked_for() {
        assert!(RepositoryOptions::default().settings(nothing).unwrap().is_none());
    }

    #[test]
    fn a_password_that_is_missing_is_asked_for_by_the_names_of_its_places() {
        let refused = folder().settings(nothing).unwrap_err().to_string();
        assert!(refused.contains("--repository-password-file") && refused.contains(PASSWORD), "{refused}");
    }

    #[test]
    fn the_password_is_the_first_line_of_its_file_and_shows_nowhere() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("password");
        std::fs::write(&file, "s3cret words\nsecond line\n").unwrap();
        let options = RepositoryOptions { repository_password_file: Some(file), ..folder() };
        let settings = options.settings(nothing).unwrap().unwrap();
        assert_eq!(settings.config.password.reveal(), "s3cret words");
        assert!(!format!("{settings:?} {options:?}").contains("s3cret"));
    }

    #[test]
    fn the_keys_of_a_bucket_come_from_a_file_or_from_the_environment() {
        let bucket =
            RepositoryOptions { repository: Some("s3://books/copies/1".into()), ..RepositoryOptions::default() };
        let refused = bucket.settings(|name| (name == PASSWORD).then(|| "x".into())).unwrap_err().to_string();
        assert!(refused.contains(ACCESS_KEY), "{refused}");
        let settings = bucket.settings(|name| Some(format!("value of {name}"))).unwrap().unwrap();
        let Place::Bucket(bucket) = settings.config.place else { panic!("a bucket") };
        assert_eq!((bucket.name.as_str(), bucket.prefix.as_str()), ("books", "copies/1"));
        assert_eq!(bucket.secret_key.reveal(), "value of AWS_SECRET_ACCESS_KEY");
        let text = "[default]\naws_access_key_id = A\naws_secret_access_key=B=C\n";
        assert_eq!(value_of(text, "aws_access_key_id").as_deref(), Some("A"));
        assert_eq!(value_of(text, "aws_secret_access_key").as_deref(), Some("B=C"));
    }

    #[test]
    fn another_kind_of_place_is_refused_by_name() {
        let ftp = RepositoryOptions { repository: Some("ftp://books".into()), ..RepositoryOptions::default() };
        assert!(ftp.settings(nothing).unwrap_err().to_string().contains("ftp://books"));
    }
}
