//! Standard input, which may be silent for hours: whoever reads it can be told to stop meanwhile.

use std::{
    io::{self, BufRead, Read},
    sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    thread,
};

use super::{
    BulkError,
    scoring::{LOOK_EVERY, Stop},
};
use crate::rows::BUFFER_BYTES;

/// A stream that another thread reads, one block ahead.
pub struct StoppableRead<'a> {
    blocks: Receiver<io::Result<Vec<u8>>>,
    /// The block that is being taken, and how far.
    block: Vec<u8>,
    taken: usize,
    has_ended: bool,
    stop: Stop<'a>,
}

impl<'a> StoppableRead<'a> {
    /// Begins to read. Nothing makes a read of a silent stream return, so its thread is left to the
    /// end of the process if nobody wants the rest.
    ///
    /// # Errors
    ///
    /// If no thread can be started.
    pub fn new(stream: Box<dyn Read + Send>, stop: Stop<'a>) -> Result<Self, BulkError> {
        let (sender, blocks) = sync_channel(0);
        thread::Builder::new()
            .name("stream".to_owned())
            .spawn(move || read_all(stream, &sender))
            .map_err(|error| BulkError::Threads(error.to_string()))?;
        Ok(Self { blocks, block: Vec::new(), taken: 0, has_ended: false, stop })
    }

    /// The next block; empty at the end.
    fn wait(&self) -> io::Result<Vec<u8>> {
        loop {
            match self.blocks.recv_timeout(LOOK_EVERY) {
                Ok(block) => return block,
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(io::Error::other("its thread has ended before it did"));
                }
                Err(RecvTimeoutError::Timeout) if self.stop.is_set() => {
                    return Err(io::Error::other("nobody wants the rest"));
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }
}

fn read_all(mut stream: Box<dyn Read + Send>, blocks: &SyncSender<io::Result<Vec<u8>>>) {
    loop {
        let mut block = vec![0; BUFFER_BYTES];
        let read = match stream.read(&mut block) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read,
        };
        let is_last = !matches!(read, Ok(1..));
        let block = read.map(|length| {
            block.truncate(length);
            block
        });
        if blocks.send(block).is_err() || is_last {
            return;
        }
    }
}

impl Read for StoppableRead<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(buffer)?;
        self.consume(read);
        Ok(read)
    }
}

impl BufRead for StoppableRead<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.taken == self.block.len() && !self.has_ended {
            (self.block, self.taken) = (self.wait()?, 0);
            self.has_ended = self.block.is_empty();
        }
        Ok(&self.block[self.taken..])
    }

    fn consume(&mut self, amount: usize) {
        self.taken += amount;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;

    struct Broken;

    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            panic!("a broken stream")
        }
    }

    #[test]
    fn a_stream_ends_where_it_ends_and_not_where_its_reader_is_lost() {
        let interrupt = AtomicBool::new(false);
        let open = |stream| StoppableRead::new(stream, Stop::new(&interrupt)).expect("a thread");
        let mut text = String::new();
        let mut whole = open(Box::new(io::Cursor::new("a\nb")));
        whole.read_to_string(&mut text).expect("read");
        assert_eq!((text.as_str(), whole.read(&mut [0]).ok()), ("a\nb", Some(0)));
        assert!(open(Box::new(Broken)).read(&mut [0]).is_err());
    }
}
