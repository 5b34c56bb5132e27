//! CreateTags and DeleteTags: for all resources they name, or for none.

use crate::cloud::call::{Call, enough_room, read_tags};
use crate::problem::Problem;
use crate::query::Asked;
use crate::xml::Xml;

const MOST_RESOURCES: usize = 1000;

pub fn create(call: &mut Call<'_>, asked: &Asked<'_>, xml: &mut Xml) -> Result<(), Problem> {
    let ids = named(call, asked)?;
    let new = read_tags(asked)?;
    if new.is_empty() {
        return Err(Problem::missing("Tag"));
    }
    for id in &ids {
        let mut tags = call.place.tagged(id).cloned().unwrap_or_default();
        tags.extend(new.clone());
        enough_room(&tags)?;
    }
    for id in &ids {
        call.place.change_tags(id, call.now, |tags| tags.extend(new.clone()));
    }
    xml.value("return", true);
    Ok(())
}

/// A tag that is named with a value goes only if it has that value; without any tag all go.
pub fn delete(call: &mut Call<'_>, asked: &Asked<'_>, xml: &mut Xml) -> Result<(), Problem> {
    let ids = named(call, asked)?;
    let which: Vec<(String, Option<String>)> = asked
        .items("Tag")
        .iter()
        .map(|tag| Ok((tag.required("Key")?.to_owned(), tag.text("Value").map(str::to_owned))))
        .collect::<Result<_, Problem>>()?;
    let goes = |key: &str, value: &str| {
        which.is_empty()
            || which.iter().any(|(named, wanted)| named == key && wanted.as_ref().is_none_or(|wanted| wanted == value))
    };
    for id in &ids {
        call.place.change_tags(id, call.now, |tags| tags.retain(|key, value| !goes(key, value)));
    }
    xml.value("return", true);
    Ok(())
}

fn named(call: &Call<'_>, asked: &Asked<'_>) -> Result<Vec<String>, Problem> {
    let ids = asked.list("ResourceId");
    if ids.is_empty() {
        return Err(Problem::missing("ResourceId"));
    }
    if ids.len() > MOST_RESOURCES {
        let message = format!("A call is about at most {MOST_RESOURCES} resources, not {}", ids.len());
        return Err(Problem::client("RequestResourceCountExceeded", message));
    }
    ids.iter().try_for_each(|id| call.taggable(id))?;
    Ok(ids.into_iter().map(str::to_owned).collect())
}
