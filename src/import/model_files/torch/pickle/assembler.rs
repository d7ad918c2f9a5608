//! Writes pickles, for tests.

/// Pickle in the making.
#[derive(Debug, Default)]
pub struct Assembler {
    bytes: Vec<u8>,
}

impl Assembler {
    /// With the instruction that says the protocol.
    pub fn new() -> Self {
        Self::default().raw(b"\x80\x02")
    }

    pub fn raw(mut self, bytes: &[u8]) -> Self {
        self.bytes.extend(bytes);
        self
    }

    pub fn global(self, module: &str, name: &str) -> Self {
        self.raw(format!("c{module}\n{name}\n").as_bytes())
    }

    pub fn text(self, text: &str) -> Self {
        self.raw(b"X").raw(&(text.len() as u32).to_le_bytes()).raw(text.as_bytes())
    }

    pub fn number(self, number: u64) -> Self {
        let bytes = number.to_le_bytes();
        // LONG1; the last byte holds the sign.
        self.raw(&[0x8a, 8]).raw(&bytes)
    }

    pub fn numbers(self, numbers: &[u64]) -> Self {
        numbers.iter().fold(self.raw(b"("), |pickle, number| pickle.number(*number)).raw(b"t")
    }

    /// Storage `data/0` of this many values.
    pub fn storage(self, class: &str, values: u64) -> Self {
        let head = self.raw(b"(").text("storage").global("torch", class).text("0").text("cpu");
        head.number(values).raw(b"tQ")
    }

    /// View of the storage `data/0`.
    pub fn tensor(
        self,
        class: &str,
        values: u64,
        offset: u64,
        shape: &[u64],
        strides: &[u64],
    ) -> Self {
        let head = self.global("torch._utils", "_rebuild_tensor_v2").raw(b"(");
        let view = head.storage(class, values).number(offset).numbers(shape).numbers(strides);
        view.raw(b"\x89").global("collections", "OrderedDict").raw(b")RtR")
    }

    pub fn stop(self) -> Vec<u8> {
        self.raw(b".").bytes
    }
}

/// Pickle of `{"a": value}`.
pub fn state_dict(value: impl FnOnce(Assembler) -> Assembler) -> Vec<u8> {
    value(Assembler::new().raw(b"}").text("a")).raw(b"s").stop()
}
