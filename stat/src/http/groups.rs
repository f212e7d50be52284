//! `/v1/groups/…`: groups and their members.

use axum::{Json, extract::State, http::StatusCode};
use boot::Problem;
use serde::{Deserialize, Serialize};
use store::{GroupRecord, MembersChanged};
use wire::{Group, User, time::now_ms};

use super::{
    Api,
    extract::{Body, Params, Segment},
    refused,
};

/// A group's settings, as the caller wants them; what is left out goes back to its default.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    #[serde(default)]
    open: bool,
    name: Option<String>,
    owner: Option<User>,
}

#[derive(Serialize)]
pub(super) struct View {
    group: Group,
    open: bool,
    name: Option<String>,
    owner: Option<User>,
    created_at: i64,
    members: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Users {
    users: Vec<User>,
}

#[derive(Serialize)]
pub(super) struct Changed {
    /// Who was really added or removed.
    changed: Vec<User>,
    /// How many members the group has now.
    members: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PageParams {
    cursor: Option<User>,
    limit: Option<usize>,
}

#[derive(Serialize)]
pub(super) struct Page {
    members: Vec<User>,
    cursor: Option<User>,
}

pub(super) async fn put(
    State(api): State<Api>,
    Segment(group): Segment<Group>,
    Body(wanted): Body<Wanted>,
) -> Result<(StatusCode, Json<View>), Problem> {
    let record = GroupRecord {
        group: group.clone(),
        open: wanted.open,
        name: wanted.name,
        owner: wanted.owner,
        created_at: now_ms(),
        members: 0,
    };
    let created = api.inner.conversations.put_group(record).await.map_err(refused)?;
    let status = if created { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, api.view(&group).await?))
}

pub(super) async fn get(
    State(api): State<Api>,
    Segment(group): Segment<Group>,
) -> Result<Json<View>, Problem> {
    api.view(&group).await
}

pub(super) async fn delete(
    State(api): State<Api>,
    Segment(group): Segment<Group>,
) -> Result<StatusCode, Problem> {
    api.inner.conversations.delete_group(&group).await.map_err(refused)?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn add_members(
    State(api): State<Api>,
    Segment(group): Segment<Group>,
    Body(Users { users }): Body<Users>,
) -> Result<Json<Changed>, Problem> {
    api.inner.conversations.add_members(&group, users).await.map(changed).map_err(refused)
}

pub(super) async fn remove_members(
    State(api): State<Api>,
    Segment(group): Segment<Group>,
    Body(Users { users }): Body<Users>,
) -> Result<Json<Changed>, Problem> {
    api.inner.conversations.remove_members(&group, users).await.map(changed).map_err(refused)
}

pub(super) async fn members(
    State(api): State<Api>,
    Segment(group): Segment<Group>,
    Params(params): Params<PageParams>,
) -> Result<Json<Page>, Problem> {
    let page = api.inner.conversations.members(&group, params.cursor, params.limit).await.map_err(refused)?;
    Ok(Json(Page { members: page.members, cursor: page.cursor }))
}

impl Api {
    async fn view(&self, group: &Group) -> Result<Json<View>, Problem> {
        let record = self.inner.conversations.group(group).await.map_err(refused)?;
        Ok(Json(View {
            group: record.group,
            open: record.open,
            name: record.name,
            owner: record.owner,
            created_at: record.created_at,
            members: record.members,
        }))
    }
}

fn changed(changed: MembersChanged) -> Json<Changed> {
    Json(Changed { changed: changed.changed, members: changed.members })
}
