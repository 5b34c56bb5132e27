//! What people say about an environment: another name, tags, a note.

use app::api::{ApiError, EnvironmentChange, EnvironmentDetail, FieldError};
use app::portal::SignedIn;
use serde_json::json;

use super::trouble::failed;
use super::{Service, access, environments};
use crate::domain::note::Note;
use crate::domain::template::names::{LABEL, is_label};
use crate::store::{Described, Description, EnvironmentRecord, StoreError};

const MOST_TAGS: usize = 10;
const LONGEST_TAG: usize = 40;
const LONGEST_NOTE: usize = 4_000;

pub(super) async fn describe(
    service: &Service,
    by: &SignedIn,
    environment: &str,
    change: EnvironmentChange,
) -> Result<EnvironmentDetail, ApiError> {
    let record = environments::find(service, by, environment).await?;
    access::owner(by, &record)?;
    let change = news(checked(change)?, &record);
    let id = &record.summary.id;
    if change != EnvironmentChange::default() {
        match commit(service, by, &record, &change).await.map_err(failed)? {
            Described::Done => service.bell.tell(id),
            Described::NameTaken => {
                let name = change.name.unwrap_or_default();
                return Err(ApiError {
                    fields: vec![FieldError { field: "name".into(), message: "is taken; choose another".into() }],
                    ..ApiError::conflict(format!("There is an environment “{name}” already"))
                });
            }
            Described::Deleted => {
                return Err(ApiError::conflict(format!("“{}” is deleted", record.summary.name))
                    .with_detail("Nothing more can be said about it."));
            }
        }
    }
    environments::environment(service, by, id).await
}

async fn commit(
    service: &Service,
    by: &SignedIn,
    record: &EnvironmentRecord,
    change: &EnvironmentChange,
) -> Result<Described, StoreError> {
    let (id, now) = (&record.summary.id, service.clock.now());
    let mut tx = service.store.write().await?;
    let description =
        Description { name: change.name.as_deref(), tags: change.tags.as_deref(), note: change.note.as_deref() };
    let described = tx.describe(&by.team_id, id, description).await?;
    if described == Described::Done {
        for note in told(&record.summary.name, change) {
            tx.add_event(id, &note, Some(&by.name), now).await?;
        }
        let detail = json!({ "environment": id, "name": change.name, "tags": change.tags,
            "note_characters": change.note.as_ref().map(|note| note.chars().count()) });
        service.audit(&mut tx, by, "describe", &record.summary.name, detail).await?;
        tx.commit().await?;
    }
    Ok(described)
}

/// As it is kept: tags in lower case, sorted, each once; the note with plain line ends.
///
/// # Errors
/// Every field that is wrong, at once.
fn checked(change: EnvironmentChange) -> Result<EnvironmentChange, ApiError> {
    let mut wrong = Vec::new();
    let mut refuse = |field: &str, message: String| wrong.push(FieldError { field: field.into(), message });
    if change.name.as_ref().is_some_and(|name| !is_label(name)) {
        refuse("name", format!("should be {LABEL}"));
    }
    let tags = change.tags.map(|tags| {
        let mut tags: Vec<String> = tags.iter().map(|tag| tag.trim().to_lowercase()).collect();
        tags.retain(|tag| !tag.is_empty());
        tags.sort_unstable();
        tags.dedup();
        tags
    });
    for tag in tags.iter().flatten().filter(|tag| !is_tag(tag)) {
        let shown: String = tag.chars().filter(|character| !character.is_control()).take(LONGEST_TAG).collect();
        refuse("tags", format!("“{shown}” is none: letters, digits and - _ . : /, at most {LONGEST_TAG}"));
    }
    if tags.as_ref().is_some_and(|tags| tags.len() > MOST_TAGS) {
        refuse("tags", format!("are more than {MOST_TAGS}"));
    }
    let note = change.note.map(|note| plain(&note));
    if note.as_ref().is_some_and(|note| note.chars().count() > LONGEST_NOTE) {
        refuse("note", format!("is longer than {LONGEST_NOTE} characters"));
    }
    match wrong.is_empty() {
        true => Ok(EnvironmentChange { name: change.name, tags, note }),
        false => Err(ApiError::invalid(wrong)),
    }
}

/// Letters of any script; nothing that could end a word, a line or an element.
fn is_tag(tag: &str) -> bool {
    tag.chars().count() <= LONGEST_TAG
        && tag.chars().all(|character| character.is_alphanumeric() || matches!(character, '-' | '_' | '.' | ':' | '/'))
}

/// With plain line ends, and without characters that steer a terminal or hide what follows.
fn plain(note: &str) -> String {
    let hidden = |character: char| {
        (character.is_control() && !matches!(character, '\n' | '\t'))
            || matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    note.replace("\r\n", "\n").chars().filter(|character| !hidden(*character)).collect::<String>().trim().to_owned()
}

/// Without what is so already.
fn news(change: EnvironmentChange, record: &EnvironmentRecord) -> EnvironmentChange {
    EnvironmentChange {
        name: change.name.filter(|name| *name != record.summary.name),
        tags: change.tags.filter(|tags| *tags != record.summary.tags),
        note: change.note.filter(|note| *note != record.note),
    }
}

/// What the timeline says of it.
fn told(name: &str, change: &EnvironmentChange) -> Vec<Note> {
    let renamed = change.name.iter().map(|new| Note::new("renamed", format!("Renamed from {name} to {new}")));
    let tagged = change.tags.iter().map(|tags| match tags.as_slice() {
        [] => Note::new("tagged", "All tags removed"),
        tags => Note::new("tagged", format!("Tagged {}", tags.join(", "))),
    });
    let noted = change.note.iter().map(|note| match note.as_str() {
        "" => Note::new("noted", "Note removed"),
        _ => Note::new("noted", "Note changed"),
    });
    renamed.chain(tagged).chain(noted).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tagged(tags: &[&str]) -> Result<Vec<String>, ApiError> {
        let tags = Some(tags.iter().map(|tag| (*tag).to_owned()).collect());
        checked(EnvironmentChange { tags, ..EnvironmentChange::default() })
            .map(|change| change.tags.unwrap_or_default())
    }

    #[test]
    fn tags_are_kept_in_lower_case_in_order_and_once() {
        assert_eq!(tagged(&["Demo", " q3 ", "demo", "", "team:data/eu"]).unwrap(), ["demo", "q3", "team:data/eu"]);
        assert_eq!(tagged(&["größe", "تجربة"]).unwrap(), ["größe", "تجربة"], "letters of any script are letters");
    }

    #[test]
    fn what_is_no_tag_is_refused_with_what_would_be_right() {
        let long = "a".repeat(41);
        for odd in ["two words", "<b>", "a,b", "🙂", "a\u{202e}b", "\"", "%", &long] {
            let refused = tagged(&[odd]).unwrap_err();
            assert_eq!((refused.status, refused.fields[0].field.as_str()), (422, "tags"), "{odd}");
        }
        let many: Vec<String> = (0..11).map(|number| number.to_string()).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert!(tagged(&many).unwrap_err().fields[0].message.contains("more than 10"));
    }

    #[test]
    fn a_note_keeps_its_lines_and_loses_what_cannot_be_seen() {
        let noted = |note: &str| {
            let note = Some(note.to_owned());
            checked(EnvironmentChange { note, ..EnvironmentChange::default() }).map(|change| change.note.unwrap())
        };
        assert_eq!(
            noted(" For the demo.\r\n\r\n- hands off 🙂\u{1b}[31m\u{202e} ").unwrap(),
            "For the demo.\n\n- hands off 🙂[31m"
        );
        assert_eq!(noted(&"x".repeat(4_000)).unwrap().len(), 4_000);
        assert_eq!(noted(&"x".repeat(4_001)).unwrap_err().fields[0].field, "note");
    }

    #[test]
    fn all_that_is_wrong_is_told_at_once() {
        let change = EnvironmentChange {
            name: Some("<b>".into()),
            tags: Some(vec!["a b".into()]),
            note: Some("x".repeat(5_000)),
        };
        let refused = checked(change).unwrap_err();
        let fields: Vec<&str> = refused.fields.iter().map(|field| field.field.as_str()).collect();
        assert_eq!(fields, ["name", "tags", "note"]);
    }
}
