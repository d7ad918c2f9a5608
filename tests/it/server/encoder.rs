//! A real encoder that can be held up, and made to fail.

use std::sync::{
    Arc, Condvar, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

use dynamar::{
    inference::{MaskEncoder, PredictError},
    tokenization::Prompt,
};
use tokio::sync::watch;

/// What the encoders under control do with a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Work,
    /// Wait until the mode is another.
    Hold,
    Fail,
    Panic,
    /// Answer with what is no number.
    Garble,
}

/// Controls encoders, knows how many batches they have begun, of how many prompts, and how many of
/// them there are.
pub struct Control {
    prompts: AtomicUsize,
    mode: Mutex<Mode>,
    /// What the next batch alone meets.
    trip: Mutex<Option<Mode>>,
    /// How often the mode was set, by which held batches go on.
    settings: AtomicUsize,
    changed: Condvar,
    begun: watch::Sender<usize>,
    made: AtomicUsize,
    alive: watch::Sender<usize>,
}

impl Control {
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            prompts: AtomicUsize::new(0),
            mode: Mutex::new(Mode::Work),
            trip: Mutex::default(),
            settings: AtomicUsize::new(0),
            changed: Condvar::new(),
            begun: watch::Sender::new(0),
            made: AtomicUsize::new(0),
            alive: watch::Sender::new(0),
        })
    }

    /// Takes an encoder under control.
    pub fn over(self: &Arc<Self>, inner: Box<dyn MaskEncoder + Send>) -> Controlled {
        self.made.fetch_add(1, Ordering::Relaxed);
        self.alive.send_modify(|count| *count += 1);
        Controlled { inner, control: Arc::clone(self) }
    }

    /// Sessions made so far.
    pub fn sessions(&self) -> usize {
        self.made.load(Ordering::Relaxed)
    }

    /// Those of them that are still there.
    pub fn alive(&self) -> usize {
        *self.alive.borrow()
    }

    /// Waits until so many are still there.
    pub async fn until_alive(&self, expected: usize) {
        let mut alive = self.alive.subscribe();
        alive.wait_for(|count| *count == expected).await.expect("the control lives");
    }

    /// All batches meet this from now on, those that are held too.
    pub fn set(&self, mode: Mode) {
        let mut current = self.mode.lock().unwrap_or_else(PoisonError::into_inner);
        *current = mode;
        self.settings.fetch_add(1, Ordering::Relaxed);
        self.trip().take();
        drop(current);
        self.changed.notify_all();
    }

    /// The next batch alone meets this. If it is held, it is until the mode is set.
    #[allow(dead_code)] // tests/chaos uses it
    pub fn trip_next(&self, mode: Mode) {
        *self.trip() = Some(mode);
    }

    fn trip(&self) -> MutexGuard<'_, Option<Mode>> {
        self.trip.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts the batches begun from now on.
    pub fn watch(&self) -> Begun {
        let count = self.begun.subscribe();
        let before = *count.borrow();
        Begun { count, before }
    }

    /// Prompts of all batches begun so far.
    pub fn prompts(&self) -> usize {
        self.prompts.load(Ordering::Relaxed)
    }

    fn pass(&self, prompts: usize) -> Mode {
        self.prompts.fetch_add(prompts, Ordering::Relaxed);
        self.begun.send_modify(|count| *count += 1);
        let mode = self.mode.lock().unwrap_or_else(PoisonError::into_inner);
        // Not within the condition, which would keep the lock.
        let trip = self.trip().take();
        if let Some(alone) = trip {
            return self.pass_alone(alone, mode);
        }
        let passed = self.changed.wait_while(mode, |mode| *mode == Mode::Hold);
        *passed.unwrap_or_else(PoisonError::into_inner)
    }

    fn pass_alone(&self, alone: Mode, mode: MutexGuard<'_, Mode>) -> Mode {
        if alone != Mode::Hold {
            return alone;
        }
        let before = self.settings.load(Ordering::Relaxed);
        let is_held = |_: &mut Mode| self.settings.load(Ordering::Relaxed) == before;
        *self.changed.wait_while(mode, is_held).unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits for batches to begin.
pub struct Begun {
    count: watch::Receiver<usize>,
    before: usize,
}

impl Begun {
    pub async fn batches(&mut self, expected: usize) {
        let reached = self.before + expected;
        self.count.wait_for(|count| *count >= reached).await.expect("the encoder lives");
    }
}

/// A real encoder under control.
pub struct Controlled {
    inner: Box<dyn MaskEncoder + Send>,
    control: Arc<Control>,
}

impl Drop for Controlled {
    fn drop(&mut self) {
        self.control.alive.send_modify(|count| *count -= 1);
    }
}

impl MaskEncoder for Controlled {
    fn mask_vectors(&mut self, prompts: &[&Prompt]) -> Result<Vec<f32>, PredictError> {
        match self.control.pass(prompts.len()) {
            Mode::Fail => Err(PredictError::Encoder("a secret of the house".to_owned())),
            Mode::Panic => panic!("a secret of the house"),
            Mode::Garble => Ok(vec![f32::NAN; prompts.len() * self.hidden_size()]),
            Mode::Work | Mode::Hold => self.inner.mask_vectors(prompts),
        }
    }

    fn hidden_size(&self) -> usize {
        self.inner.hidden_size()
    }
}
