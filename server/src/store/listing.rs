//! Lists of environments: narrowed, sorted, in pages.
//!
//! Guaranteed: a page costs what is on it, also far into a list of 100,000 (each order has its index, migration 0007); pages
//! neither repeat nor skip what stays as it is meanwhile, because a cursor says where the last row stood, not how many came
//! before it.

use app::api::{EnvironmentSort, EnvironmentSummary, Page, State};
use sqlx::AssertSqlSafe;

use super::environments::{SUMMARY, summary};
use super::{Store, StoreError};

/// Which environments of a team; empty strings and lists mean any.
#[derive(Clone, Debug, Default)]
pub struct EnvironmentFilter {
    pub search: String,
    pub states: Vec<State>,
    /// Sign-in name.
    pub owner: String,
    /// Name of the template.
    pub template: String,
    pub provisioner: String,
    pub sort: EnvironmentSort,
    pub cursor: Option<Cursor>,
    pub limit: u32,
}

/// Where the last row of a page stands: its id, and what it was sorted by (nothing where the id alone says it).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    pub id: String,
    pub key: String,
}

impl Cursor {
    /// From the `next` of a page before; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let (id, key) = text.split_once('.').unwrap_or((text, ""));
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        let id = uuid::Uuid::try_parse(id).ok()?.to_string();
        (key.len() <= 64 && key.bytes().all(plain)).then(|| Self { id, key: key.to_owned() })
    }

    fn after(environment: &EnvironmentSummary, sort: EnvironmentSort) -> String {
        let id = &environment.id;
        match sort {
            EnvironmentSort::Newest => id.clone(),
            EnvironmentSort::Name => format!("{id}.{}", environment.name),
            EnvironmentSort::State => format!("{id}.{}", rank(environment.state)),
            EnvironmentSort::NextEvent => {
                format!("{id}.{}", environment.next_event.as_ref().map_or(NEVER, |next| next.at))
            }
        }
    }
}

/// What needs somebody comes first, then what is under way, what is ready, what is parked. As in the index of migration 0007.
const RANK: &str =
    "(case e.state when 'failed' then 4 when 'ready' then 2 when 'parked' then 1 when 'deleted' then 0 else 3 end)";

fn rank(state: State) -> i64 {
    match state {
        State::Failed => 4,
        State::Ready => 2,
        State::Parked => 1,
        State::Deleted => 0,
        _ => 3,
    }
}

/// What has no next event comes last. As in the index of migration 0007.
const NEXT_EVENT: &str = "coalesce(e.next_event_at, 9223372036854775807)";
const NEVER: i64 = i64::MAX;

enum Value {
    Text(String),
    Number(i64),
}

/// Conditions, and the values they speak of as `$1`, `$2`, ….
#[derive(Default)]
struct Conditions {
    sql: Vec<String>,
    values: Vec<Value>,
}

impl Conditions {
    fn text(&mut self, value: impl Into<String>) -> String {
        self.value(Value::Text(value.into()))
    }
    fn number(&mut self, value: i64) -> String {
        self.value(Value::Number(value))
    }
    fn value(&mut self, value: Value) -> String {
        self.values.push(value);
        format!("${}", self.values.len())
    }
    fn add(&mut self, sql: String) {
        self.sql.push(sql);
    }
}

impl Store {
    /// Deleted environments only when asked for by their state.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn environments(
        &self,
        team_id: &str,
        filter: &EnvironmentFilter,
    ) -> Result<Page<EnvironmentSummary>, StoreError> {
        let (sql, values) = statement(team_id, filter);
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for value in values {
            query = match value {
                Value::Text(text) => query.bind(text),
                Value::Number(number) => query.bind(number),
            };
        }
        let rows = query.fetch_all(&mut *self.read().await?).await?;
        let items = rows.iter().map(summary).collect::<Result<Vec<_>, _>>()?;
        Ok(super::page(items, filter.limit, |environment: &EnvironmentSummary| Cursor::after(environment, filter.sort)))
    }

    /// How many environments of a team are in each state; those deleted are not counted.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn count_states(&self, team_id: &str) -> Result<Vec<(String, i64)>, StoreError> {
        Ok(sqlx::query_as(
            "select state, cast(count(*) as bigint) from environment where team_id = $1 and deleted_at is null \
             group by state order by state",
        )
        .bind(team_id)
        .fetch_all(&mut *self.read().await?)
        .await?)
    }
}

fn statement(team_id: &str, filter: &EnvironmentFilter) -> (String, Vec<Value>) {
    let mut all = Conditions::default();
    let team = all.text(team_id);
    all.add(format!("e.team_id = {team}"));
    match filter.states.as_slice() {
        [State::Deleted] => all.add("e.deleted_at is not null".to_owned()),
        states if states.contains(&State::Deleted) => {}
        _ => all.add("e.deleted_at is null".to_owned()),
    }
    if !filter.states.is_empty() {
        let words: Vec<String> = filter.states.iter().map(|state| format!("'{}'", state.as_str())).collect();
        all.add(format!("e.state in ({})", words.join(", ")));
    }
    if !filter.search.is_empty() {
        let pattern = all.text(like(&filter.search));
        all.add(format!(
            "(e.name like {pattern} escape '\\' or e.id in (select environment_id from environment_tag \
             where team_id = {team} and tag like {pattern} escape '\\'))"
        ));
    }
    if !filter.owner.is_empty() {
        let owner = all.text(filter.owner.as_str());
        all.add(format!("e.owner_id = (select id from person where name = {owner})"));
    }
    if !filter.template.is_empty() {
        let template = all.text(filter.template.as_str());
        all.add(format!(
            "e.template_version_id in (select version.id from template_version version \
             join template on template.id = version.template_id \
             where template.team_id = {team} and template.name = {template})"
        ));
    }
    if !filter.provisioner.is_empty() {
        let provisioner = all.text(filter.provisioner.as_str());
        all.add(format!("e.provisioner = {provisioner}"));
    }
    let order = order(&mut all, filter);
    let limit = all.number(i64::from(filter.limit) + 1);
    (format!("{SUMMARY} where {} order by {order} limit {limit}", all.sql.join(" and ")), all.values)
}

/// The order, and what it takes to go on after the cursor.
fn order(all: &mut Conditions, filter: &EnvironmentFilter) -> String {
    let key = |cursor: &Cursor| cursor.key.parse::<i64>().unwrap_or(0);
    let (by, after, descending) = match filter.sort {
        EnvironmentSort::Newest => {
            if let Some(cursor) = &filter.cursor {
                let id = all.text(cursor.id.as_str());
                all.add(format!("e.id < {id}"));
            }
            return "e.id desc".to_owned();
        }
        EnvironmentSort::Name => ("e.name", filter.cursor.as_ref().map(|cursor| all.text(cursor.key.as_str())), false),
        EnvironmentSort::State => (RANK, filter.cursor.as_ref().map(|cursor| all.number(key(cursor))), true),
        EnvironmentSort::NextEvent => (NEXT_EVENT, filter.cursor.as_ref().map(|cursor| all.number(key(cursor))), false),
    };
    let (beyond, direction) = if descending { ("<", " desc") } else { (">", "") };
    if let (Some(key), Some(cursor)) = (after, &filter.cursor) {
        let id = all.text(cursor.id.as_str());
        all.add(format!("{by} {beyond}= {key}"));
        all.add(format!("({by} {beyond} {key} or e.id {beyond} {id})"));
    }
    // One person's are few: found by their owner and sorted, rather than picked out of everybody's in the right order.
    let unindexed = match (filter.owner.is_empty(), filter.sort) {
        (true, _) => by.to_owned(),
        (false, EnvironmentSort::Name) => format!("{by} || ''"),
        (false, _) => format!("0 + {by}"),
    };
    format!("{unindexed}{direction}, e.id{direction}")
}

/// A pattern that finds this text anywhere.
fn like(search: &str) -> String {
    let mut pattern = String::from("%");
    for character in search.to_lowercase().chars() {
        if matches!(character, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern + "%"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_page_gave_as_next_is_a_cursor() {
        let id = "019aa3a1-5a4b-7c3d-8e2f-0123456789ab";
        assert_eq!(Cursor::parse(id), Some(Cursor { id: id.into(), key: String::new() }));
        assert_eq!(Cursor::parse(&format!("{id}.shop-1")), Some(Cursor { id: id.into(), key: "shop-1".into() }));
        for odd in ["", "' or 1=1 --", "~", "1", "\0", &format!("{id}.' or"), &format!("{id}.{}", "x".repeat(65))] {
            assert_eq!(Cursor::parse(odd), None, "{odd}");
        }
    }
}
