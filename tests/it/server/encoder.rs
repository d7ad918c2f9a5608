//! A real encoder that can be held up, and made to fail.

use std::sync::{
    Arc, Condvar, Mutex, PoisonError,
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
}

/// Controls encoders and knows how many batches they have begun, and of how many prompts.
pub struct Control {
    prompts: AtomicUsize,
    mode: Mutex<Mode>,
    changed: Condvar,
    begun: watch::Sender<usize>,
}

impl Control {
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            prompts: AtomicUsize::new(0),
            mode: Mutex::new(Mode::Work),
            changed: Condvar::new(),
            begun: watch::Sender::new(0),
        })
    }

    pub fn set(&self, mode: Mode) {
        *self.mode.lock().unwrap_or_else(PoisonError::into_inner) = mode;
        self.changed.notify_all();
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
        let passed = self.changed.wait_while(mode, |mode| *mode == Mode::Hold);
        *passed.unwrap_or_else(PoisonError::into_inner)
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
    pub inner: Box<dyn MaskEncoder + Send>,
    pub control: Arc<Control>,
}

impl MaskEncoder for Controlled {
    fn mask_vectors(&mut self, prompts: &[&Prompt]) -> Result<Vec<f32>, PredictError> {
        match self.control.pass(prompts.len()) {
            Mode::Fail => Err(PredictError::Encoder("a secret of the house".to_owned())),
            Mode::Panic => panic!("a secret of the house"),
            Mode::Work | Mode::Hold => self.inner.mask_vectors(prompts),
        }
    }

    fn hidden_size(&self) -> usize {
        self.inner.hidden_size()
    }
}
