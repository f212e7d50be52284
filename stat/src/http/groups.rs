//! `/v1/groups/…`: groups and their members.

use axum::{Json, extract::State, http::StatusCode};
use boot::Problem;
use serde::{Deserialize, Serialize};
use store::{GroupRecord, MembersChanged};
use utoipa::{IntoParams, ToSchema};
use wire::{Group, User, time::now_ms};

use super::{
    Api,
    extract::{Body, Params, Segment, Whole},
    refused,
    schemas::{GroupName, UserName, time},
};

/// A group's settings, as the caller wants them; what is left out goes back to its default.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = GroupSettings, example = json!({"open": false, "name": "The team", "owner": "alice"}))]
pub(super) struct Wanted {
    /// Whether users may join by themselves.
    #[serde(default)]
    open: bool,
    /// For people, at most 256 bytes.
    #[schema(max_length = 256)]
    name: Option<String>,
    /// Needs not be a member.
    #[schema(value_type = Option<UserName>)]
    owner: Option<User>,
}

/// A group as it is.
#[derive(Serialize, ToSchema)]
#[schema(as = Group)]
pub(super) struct View {
    #[schema(value_type = GroupName)]
    group: Group,
    open: bool,
    name: Option<String>,
    #[schema(value_type = Option<UserName>)]
    owner: Option<User>,
    #[schema(schema_with = time)]
    created_at: i64,
    /// How many it has.
    members: u64,
}

/// Users who are to be added or removed.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"users": ["alice", "bob"]}))]
pub(super) struct Users {
    /// As many as the setting allows, 1000 by default.
    #[schema(value_type = Vec<UserName>, min_items = 1, max_items = 1000)]
    users: Vec<User>,
}

/// What a change of members did.
#[derive(Serialize, ToSchema)]
#[schema(as = MembersChanged)]
pub(super) struct Changed {
    /// Who was really added or removed.
    #[schema(value_type = Vec<UserName>)]
    changed: Vec<User>,
    /// How many members the group has now.
    members: u64,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct PageParams {
    /// The `cursor` of the page before.
    #[param(value_type = String, required = false, pattern = "^[A-Za-z0-9_.:@-]{1,64}$")]
    cursor: Option<User>,
    /// At most so many; the setting's bound (1000) where there is none, or where it is more.
    #[param(value_type = u64, required = false, minimum = 0, maximum = 9007199254740991_u64)]
    limit: Option<Whole>,
}

/// A page of members, in bytewise order.
#[derive(Serialize, ToSchema)]
#[schema(as = MembersPage)]
pub(super) struct Page {
    #[schema(value_type = Vec<UserName>)]
    members: Vec<User>,
    /// For the next page; `null` after the last one.
    #[schema(value_type = Option<UserName>)]
    cursor: Option<User>,
}

/// Makes a group, or changes its settings
///
/// What is left out goes back to its default.
#[utoipa::path(
    put, path = "/v1/groups/{group}", tag = "groups", operation_id = "put_group",
    params(("group" = inline(GroupName), Path, description = "The group's name.")),
    request_body = Wanted,
    responses(
        (status = 201, description = "It was made.", body = View),
        (status = 200, description = "It was changed.", body = View),
    )
)]
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

/// A group
#[utoipa::path(
    get, path = "/v1/groups/{group}", tag = "groups", operation_id = "get_group",
    params(("group" = inline(GroupName), Path, description = "The group's name.")),
    responses(
        (status = 200, description = "It.", body = View),
        (status = 404, description = "There is no such group."),
    )
)]
pub(super) async fn get(
    State(api): State<Api>,
    Segment(group): Segment<Group>,
) -> Result<Json<View>, Problem> {
    api.view(&group).await
}

/// Removes a group and its members
///
/// Its history stays, and a group of the same name made later goes on with the next `seq`.
#[utoipa::path(
    delete, path = "/v1/groups/{group}", tag = "groups", operation_id = "delete_group",
    params(("group" = inline(GroupName), Path, description = "The group's name.")),
    responses(
        (status = 204, description = "It is gone."),
        (status = 404, description = "There is no such group."),
    )
)]
pub(super) async fn delete(
    State(api): State<Api>,
    Segment(group): Segment<Group>,
) -> Result<StatusCode, Problem> {
    api.inner.conversations.delete_group(&group).await.map_err(refused)?;
    Ok(StatusCode::NO_CONTENT)
}

/// Adds members
#[utoipa::path(
    put, path = "/v1/groups/{group}/members", tag = "groups", operation_id = "add_members",
    params(("group" = inline(GroupName), Path, description = "The group's name.")),
    request_body = Users,
    responses(
        (status = 200, description = "They are members.", body = Changed),
        (status = 404, description = "There is no such group."),
    )
)]
pub(super) async fn add_members(
    State(api): State<Api>,
    Segment(group): Segment<Group>,
    Body(Users { users }): Body<Users>,
) -> Result<Json<Changed>, Problem> {
    api.inner.conversations.add_members(&group, users).await.map(changed).map_err(refused)
}

/// Removes members
#[utoipa::path(
    delete, path = "/v1/groups/{group}/members", tag = "groups", operation_id = "remove_members",
    params(("group" = inline(GroupName), Path, description = "The group's name.")),
    request_body = Users,
    responses(
        (status = 200, description = "They are not.", body = Changed),
        (status = 404, description = "There is no such group."),
    )
)]
pub(super) async fn remove_members(
    State(api): State<Api>,
    Segment(group): Segment<Group>,
    Body(Users { users }): Body<Users>,
) -> Result<Json<Changed>, Problem> {
    api.inner.conversations.remove_members(&group, users).await.map(changed).map_err(refused)
}

/// Lists members, by pages
#[utoipa::path(
    get, path = "/v1/groups/{group}/members", tag = "groups", operation_id = "list_members",
    params(("group" = inline(GroupName), Path, description = "The group's name."), PageParams),
    responses(
        (status = 200, description = "A page.", body = Page),
        (status = 404, description = "There is no such group."),
    )
)]
pub(super) async fn members(
    State(api): State<Api>,
    Segment(group): Segment<Group>,
    Params(params): Params<PageParams>,
) -> Result<Json<Page>, Problem> {
    let page = api
        .inner
        .conversations
        .members(&group, params.cursor, params.limit.map(Whole::count))
        .await
        .map_err(refused)?;
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
