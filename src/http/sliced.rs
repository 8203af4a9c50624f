//! Answers are handed to the connection in slices, so that a reader who is slow holds up no second copy of one.

use actix_web::body::{BodySize, MessageBody};
use actix_web::web::Bytes;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// Most bytes that are handed over at a time.
const SLICE_BYTES: usize = 8 * 1024;

pin_project_lite::pin_project! {
    /// A body, handed over in slices.
    pub(crate) struct Sliced<B> {
        #[pin]
        body: B,
        rest: Bytes,
    }
}

impl<B> Sliced<B> {
    pub(crate) fn new(body: B) -> Self {
        Self { body, rest: Bytes::new() }
    }
}

impl<B: MessageBody> MessageBody for Sliced<B> {
    type Error = B::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, B::Error>>> {
        let this = self.project();
        if this.rest.is_empty() {
            match ready!(this.body.poll_next(cx)) {
                Some(Ok(bytes)) => *this.rest = bytes,
                end => return Poll::Ready(end),
            }
        }
        let slice = this.rest.split_to(this.rest.len().min(SLICE_BYTES));
        Poll::Ready(Some(Ok(slice)))
    }

    fn try_into_bytes(self) -> Result<Bytes, Self> {
        if !self.rest.is_empty() {
            return Err(self);
        }
        let Self { body, rest } = self;
        body.try_into_bytes().map_err(|body| Self { body, rest })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Waker;

    #[test]
    fn every_byte_is_handed_over_once_in_order_and_no_slice_is_large() {
        let all: Vec<u8> = (0..100_000_u32).map(|number| number as u8).collect();
        let mut body = Box::pin(Sliced::new(Bytes::from(all.clone())));
        let mut context = Context::from_waker(Waker::noop());
        let mut seen = Vec::new();

        assert_eq!(body.size(), BodySize::Sized(100_000));
        while let Poll::Ready(Some(Ok(slice))) = body.as_mut().poll_next(&mut context) {
            assert!(slice.len() <= SLICE_BYTES);
            seen.extend_from_slice(&slice);
        }

        assert_eq!(seen, all);
    }
}
