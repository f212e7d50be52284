//! [`Messages`] in Redis.

use async_trait::async_trait;
use wire::{Conversation, User};

use super::RedisStore;
use crate::{Append, AppendRefusal, Appended, Head, Inbox, Messages, Page, PageRequest, StoreError};

#[async_trait]
impl Messages for RedisStore {
    async fn append(&self, batch: Vec<Append>) -> Result<Vec<Result<Appended, AppendRefusal>>, StoreError> {
        self.append_batch(batch).await
    }

    async fn pages(&self, requests: Vec<PageRequest>) -> Result<Vec<Page>, StoreError> {
        self.read_pages(requests).await
    }

    async fn heads(&self, conversations: Vec<Conversation>) -> Result<Vec<Head>, StoreError> {
        self.read_heads(&conversations).await
    }

    async fn seqs_at(&self, at: i64, conversations: Vec<Conversation>) -> Result<Vec<u64>, StoreError> {
        self.find_by_time(at, &conversations).await
    }

    async fn sent_within(&self, window_ms: u64, conversation: &Conversation) -> Result<u64, StoreError> {
        self.count_within(window_ms, conversation).await
    }

    async fn inbox(&self, user: &User) -> Result<Inbox, StoreError> {
        self.read_inbox(user).await
    }

    async fn inbox_versions(&self, users: Vec<User>) -> Result<Vec<u64>, StoreError> {
        self.read_inbox_versions(&users).await
    }

    async fn inbox_sizes(&self, users: Vec<User>) -> Result<Vec<u64>, StoreError> {
        self.read_inbox_sizes(&users).await
    }

    async fn read_seqs(&self, of: Vec<(User, Conversation)>) -> Result<Vec<u64>, StoreError> {
        self.read_marks(&of).await
    }
}
