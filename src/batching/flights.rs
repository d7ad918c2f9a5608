//! Prompts that are on their way to the encoder, for those who ask for the same meanwhile.
//!
//! A prompt that is on its way is not put into the queue again: whoever asks for it joins its
//! flight and gets the same vector. A flight goes on until the last of those who wait for it has
//! gone, be that the first who asked or another.
//!
//! Locks are taken in this order: `admission`, the queue's, `open`, a flight's `waiting`. The queue
//! asks under its own lock whether anybody waits for a flight, and drops it there if not.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering},
};

use tokio::sync::oneshot;

use super::{
    BatchError, Encoded, Terms,
    cache::{Cache, Key},
    queue::Queue,
    reply::{Answer, Reply},
};
use crate::tokenization::Prompt;

/// How one prompt is answered.
pub(super) enum Lookup {
    Known(Encoded),
    Coming(oneshot::Receiver<Answer>),
}

/// A cache, and the flights whose vectors it will hold.
pub(super) struct Flights {
    pub(super) cache: Cache,
    /// Held while a call's prompts are looked up and handed to the queue.
    admission: Mutex<()>,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    by_key: HashMap<Arc<Key>, Arc<Waiting>>,
    /// Tokens that callers wait for. They are bounded as those in the queue are.
    tokens: usize,
}

/// Those who wait for a flight, whoever began it first; `None` once it is over.
type Waiting = Mutex<Option<Vec<oneshot::Sender<Answer>>>>;

/// A prompt on its way through the queue and the encoder. Dropped, it is over.
pub(super) struct Flight {
    key: Arc<Key>,
    waiting: Arc<Waiting>,
    flights: Arc<Flights>,
}

impl Flights {
    pub(super) fn new(max_bytes: u64) -> Self {
        let cache = Cache::new(max_bytes);
        Self { cache, admission: Mutex::default(), open: Mutex::default() }
    }

    /// Answers what is known, joins what is on its way, and hands the rest to the queue: all
    /// prompts, after which `prompts` is empty, or none.
    pub(super) fn admit(
        self: &Arc<Self>,
        prompts: &mut Vec<Prompt>,
        terms: &Terms,
        queue: &Queue,
    ) -> Result<Vec<Lookup>, BatchError> {
        let keys: Vec<Arc<Key>> = prompts.iter().map(|prompt| Arc::new(Key::of(prompt))).collect();
        let known: Vec<_> = keys.iter().map(|key| self.cache.get(key)).collect();
        // Needs no lock if all are known, which is what a cache is for.
        let _admission = match known.contains(&None) {
            true => Some(lock(&self.admission)),
            false => None,
        };
        let mut lookups = Vec::with_capacity(keys.len());
        let mut begun = Vec::with_capacity(keys.len());
        for (key, vector) in keys.into_iter().zip(known) {
            let (lookup, flight) = self.look_up(key, vector, queue.limits().max_queued_tokens)?;
            lookups.push(lookup);
            begun.push(flight);
        }
        let departing = || begun.iter().flatten();
        let (misses, tokens) = (departing().count(), departing().map(Flight::tokens).sum());
        if misses == 0 {
            prompts.clear();
        } else {
            queue.admit(tokens, terms, || {
                let pairs = prompts.drain(..).zip(begun);
                pairs.filter_map(|(prompt, flight)| Some((prompt, Reply::Shared(flight?))))
            })?;
        }
        self.count(&lookups, misses);
        Ok(lookups)
    }

    /// Where the vector of one prompt comes from, and the flight if one has to be begun.
    fn look_up(
        self: &Arc<Self>,
        key: Arc<Key>,
        known: Option<Arc<[f32]>>,
        max_tokens: usize,
    ) -> Result<(Lookup, Option<Flight>), BatchError> {
        if let Some(vector) = known {
            return Ok((Lookup::known(vector), None));
        }
        if let Some(answer) = self.join(&key, max_tokens)? {
            return Ok((Lookup::Coming(answer), None));
        }
        // A flight may just have landed: its vector is in the cache before it is over.
        if let Some(vector) = self.cache.get(&key) {
            return Ok((Lookup::known(vector), None));
        }
        let (flight, answer) = self.begin(key);
        Ok((Lookup::Coming(answer), Some(flight)))
    }

    /// Waits for a flight with this key too, if there is one.
    fn join(
        &self,
        key: &Key,
        max_tokens: usize,
    ) -> Result<Option<oneshot::Receiver<Answer>>, BatchError> {
        let mut open = lock(&self.open);
        if open.by_key.contains_key(key) && open.tokens + key.tokens() > max_tokens {
            open.forget_abandoned();
            if open.tokens + key.tokens() > max_tokens {
                let (queued_tokens, max_queued_tokens) = (open.tokens, max_tokens);
                return Err(BatchError::Full { queued_tokens, max_queued_tokens });
            }
        }
        let Open { by_key, tokens } = &mut *open;
        let Some(waiting) = by_key.get(key) else { return Ok(None) };
        let mut waiting = lock(waiting);
        let Some(waiting) = waiting.as_mut() else { return Ok(None) };
        let (sender, answer) = oneshot::channel();
        waiting.push(sender);
        *tokens += key.tokens();
        Ok(Some(answer))
    }

    fn begin(self: &Arc<Self>, key: Arc<Key>) -> (Flight, oneshot::Receiver<Answer>) {
        let (sender, answer) = oneshot::channel();
        let waiting = Arc::new(Mutex::new(Some(vec![sender])));
        let mut open = lock(&self.open);
        open.tokens += key.tokens();
        open.by_key.insert(Arc::clone(&key), Arc::clone(&waiting));
        (Flight { key, waiting, flights: Arc::clone(self) }, answer)
    }

    fn count(&self, lookups: &[Lookup], misses: usize) {
        let hits = lookups.iter().filter(|lookup| matches!(lookup, Lookup::Known(_))).count();
        let joined = lookups.len() - hits - misses;
        let Cache { hits: all_hits, misses: all_misses, joined: all_joined, .. } = &self.cache;
        for (all, new) in [(all_hits, hits), (all_misses, misses), (all_joined, joined)] {
            all.fetch_add(new as u64, Ordering::Relaxed);
        }
    }
}

impl Lookup {
    /// What costs nothing now.
    fn known(mask_vector: Arc<[f32]>) -> Self {
        Self::Known(Encoded { mask_vector, ..Encoded::default() })
    }
}

impl Open {
    /// Callers that have gone must not keep others out.
    fn forget_abandoned(&mut self) {
        self.tokens = 0;
        for (key, waiting) in &self.by_key {
            if let Some(waiting) = lock(waiting).as_mut() {
                waiting.retain(|sender| !sender.is_closed());
                self.tokens += waiting.len() * key.tokens();
            }
        }
    }
}

impl Flight {
    fn tokens(&self) -> usize {
        self.key.tokens()
    }

    /// Answers all who wait for it, and whoever will ask for it.
    pub(super) fn land(self, answer: Answer) {
        if let Ok(encoded) = &answer {
            let vector = Arc::clone(&encoded.mask_vector);
            self.flights.cache.insert(Arc::clone(&self.key), vector);
        }
        let mut waiting = self.end(|_| true).unwrap_or_default().into_iter();
        // An error means that the caller has gone. The pass is the first one's.
        let _ = waiting.next().map(|first| first.send(answer.clone()));
        for sender in waiting {
            let _ = sender.send(answer.clone().map(|encoded| Encoded { tokens: 0, ..encoded }));
        }
    }

    /// Whether nobody waits for it any more; then nobody joins it either.
    pub(super) fn is_abandoned(&self) -> bool {
        let all_gone =
            |waiting: &[oneshot::Sender<Answer>]| waiting.iter().all(oneshot::Sender::is_closed);
        let maybe = lock(&self.waiting).as_deref().is_none_or(all_gone);
        maybe && self.end(all_gone).is_some()
    }

    /// Ends it if those who wait allow it, and returns them; they are empty if it was over before.
    fn end(
        &self,
        may_end: impl Fn(&[oneshot::Sender<Answer>]) -> bool,
    ) -> Option<Vec<oneshot::Sender<Answer>>> {
        let mut open = lock(&self.flights.open);
        let mut waiting = lock(&self.waiting);
        if !waiting.as_deref().is_none_or(may_end) {
            return None;
        }
        let gone = waiting.take().unwrap_or_default();
        open.tokens = open.tokens.saturating_sub(gone.len() * self.tokens());
        // Another one with the same key may have begun after this one was over.
        if open.by_key.get(&self.key).is_some_and(|other| Arc::ptr_eq(other, &self.waiting)) {
            open.by_key.remove(&self.key);
        }
        Some(gone)
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        drop(self.end(|_| true));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing that can panic runs between changes that belong together.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
