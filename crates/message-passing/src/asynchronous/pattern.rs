//! Publishers, subscribers, listeners to events, watchers of states and of domains in tasks of a tokio runtime.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use ::serde::Serialize;
use ::serde::de::DeserializeOwned;
use futures_core::Stream;
use tokio::task::coop;
use wharf_shared_memory::{Plain, plain};
use wharf_sys::clock::Instant;

use super::sleeper::{MOST_TRIES, Sleeper};
use crate::error::{RecvError, SendError};
use crate::node::{Change, NodeError, NodeWatch};
use crate::pattern::{
    Carry, Client, EventListener, HeldSample, Publisher, Sample, SerdePublisher, SerdeSubscriber, Server, StateWatcher,
    Subscriber, TypedPublisher, TypedSample, TypedSubscriber,
};
use crate::waits::Waits;

/// An end that waits in tasks of a tokio runtime: a [`Publisher`], a [`Subscriber`] (both also of types), an
/// [`EventListener`], a [`StateWatcher`], a [`NodeWatch`], or a [`Server`] or [`Client`] of a service, made by its
/// `into_async`.
///
/// ```
/// # let private = tempfile::tempdir()?;
/// # let domain = wharf_sys::directory::Domain::at(private.path())?;
/// # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
/// # runtime.block_on(async {
/// use wharf_message_passing::NodeOptions;
///
/// let node = NodeOptions::new().domain(domain).open()?;
/// let mut frames = node.topic("camera/*").subscriber()?.into_async();
/// let mut cancel = node.event("cancel").listener()?.into_async();
/// # node.topic("camera/front").publisher()?.send(b"frame")?;
/// # node.event("cancel").notifier()?.notify()?;
/// assert_eq!(*frames.recv().await?, *b"frame");
/// assert_eq!(cancel.wait().await?, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// A subscriber is a [`Stream`] too: of messages that are [held](Sample::hold) where they lie, or of values. Its errors are
/// items between them, as [`recv`](InTasks::<Subscriber>::recv) would tell them; it ends where nothing can follow, in a forked
/// child or when the system refuses to wait.
///
/// # When a future is dropped
/// Nothing is lost, and nothing comes twice: a message, a notice, a value is taken only when the future is done. So all of
/// them may stand in a `select!`.
///
/// # The runtime
/// As for [`AsyncLink`](super::AsyncLink).
#[derive(Debug)]
pub struct InTasks<E> {
    pub(super) end: E,
    pub(super) sleeper: Sleeper,
    /// The stream has ended.
    ended: bool,
}

impl<E> InTasks<E> {
    fn new(end: E) -> Self {
        Self { end, sleeper: Sleeper::default(), ended: false }
    }
}

/// Tries until something comes, and sleeps between two tries.
pub(super) fn poll_until<E: Waits, T, X>(
    this: &mut InTasks<E>,
    context: &mut Context<'_>,
    failed: impl Fn(io::Error) -> X,
    mut attempt: impl FnMut(&mut E) -> Result<Option<T>, X>,
) -> Poll<Result<T, X>> {
    // One that always has something leaves the other tasks their turn.
    let turn = ready!(coop::poll_proceed(context));
    for _ in 0..MOST_TRIES {
        if let Some(found) = attempt(&mut this.end)? {
            turn.made_progress();
            // Whoever has something is not asleep: others judge by that what he has had (`LogWriter::last_was_missed`).
            this.sleeper.give_up(&mut this.end);
            return Poll::Ready(Ok(found));
        }
        ready!(this.sleeper.poll(&mut this.end, context)).map_err(&failed)?;
    }
    context.waker().wake_by_ref();
    Poll::Pending
}

/// See [`InTasks`].
macro_rules! into_async {
    (impl<$($parameter:ident: $bound:path),*> $end:ty) => {
        into_async!(impl<$($parameter: $bound),*> $end, |end| end);
    };
    // What is waited for is the end, or something of it.
    (impl<$($parameter:ident: $bound:path),*> $end:ty, |$it:ident| $waits:expr) => {
        impl<$($parameter: $bound),*> $end {
            /// The same end for tasks of a tokio runtime.
            pub fn into_async(self) -> InTasks<Self> {
                InTasks::new(self)
            }
        }

        impl<$($parameter: $bound),*> InTasks<$end> {
            /// The end itself, for the calls that do not wait.
            pub fn end(&mut self) -> &mut $end {
                // Whatever it is used for, the next future announces its sleep anew.
                let $it = &mut self.end;
                self.sleeper.give_up(&mut *$waits);
                &mut self.end
            }

            /// The same end for calls that wait.
            pub fn into_blocking(mut self) -> $end {
                let $it = &mut self.end;
                self.sleeper.give_up(&mut *$waits);
                self.end
            }
        }
    };
}

into_async!(impl<> Server);
into_async!(impl<> Client);
into_async!(impl<> Subscriber);
into_async!(impl<T: Plain> TypedSubscriber<T>);
into_async!(impl<T: DeserializeOwned> SerdeSubscriber<T>);
into_async!(impl<> EventListener);
into_async!(impl<P: Carry> StateWatcher<P>);
into_async!(impl<> NodeWatch);
into_async!(impl<> Publisher, |end| &mut end.room(0));
into_async!(impl<T: Plain> TypedPublisher<T>, |end| &mut end.publisher().room(0));
into_async!(impl<T: Serialize> SerdePublisher<T>, |end| &mut end.publisher().room(0));

impl InTasks<Publisher> {
    /// Sends a message; waits for room where [`Publisher::send`] does.
    ///
    /// # When the future is dropped
    /// The message is sent whole or not at all. It is sent if the future was done.
    ///
    /// # Errors
    /// As [`Publisher::send`]; [`SendError::System`] outside of a runtime.
    pub async fn send(&mut self, message: &[u8]) -> Result<(), SendError> {
        send(&mut self.end, &mut self.sleeper, message).await
    }
}

impl<T: Plain> InTasks<TypedPublisher<T>> {
    /// Sends a value; as [`InTasks::<Publisher>::send`].
    ///
    /// # Errors
    /// The same.
    pub async fn send(&mut self, value: &T) -> Result<(), SendError> {
        send(self.end.publisher(), &mut self.sleeper, plain::bytes_of(value)).await
    }
}

impl<T: Serialize> InTasks<SerdePublisher<T>> {
    /// Sends a value; as [`InTasks::<Publisher>::send`].
    ///
    /// # Errors
    /// The same, and [`SendError::Encode`].
    pub async fn send(&mut self, value: &T) -> Result<(), SendError> {
        let (publisher, encoded) = self.end.encode(value)?;
        send(publisher, &mut self.sleeper, encoded).await
    }
}

async fn send(publisher: &mut Publisher, sleeper: &mut Sleeper, message: &[u8]) -> Result<(), SendError> {
    if !publisher.on_full().waits() {
        return publisher.try_send(message);
    }
    let mut blocked = Blocked { publisher, since: None };
    poll_fn(|context| blocked.poll_send(sleeper, message, context)).await
}

/// A message that is to be sent, and since when there has been no room for it.
struct Blocked<'a> {
    publisher: &'a mut Publisher,
    since: Option<Instant>,
}

impl Blocked<'_> {
    fn poll_send(
        &mut self,
        sleeper: &mut Sleeper,
        message: &[u8],
        context: &mut Context<'_>,
    ) -> Poll<Result<(), SendError>> {
        // Subscribers that keep taking leave the other tasks their turn.
        let turn = ready!(coop::poll_proceed(context));
        for _ in 0..MOST_TRIES {
            match self.publisher.try_send(message) {
                Err(SendError::Full) => {}
                outcome => {
                    turn.made_progress();
                    sleeper.give_up(&mut self.publisher.room(message.len()));
                    return Poll::Ready(outcome);
                }
            }
            self.since.get_or_insert_with(Instant::now);
            ready!(sleeper.poll(&mut self.publisher.room(message.len()), context)).map_err(SendError::System)?;
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Also when the future is dropped.
impl Drop for Blocked<'_> {
    fn drop(&mut self) {
        if let Some(since) = self.since {
            self.publisher.count_blocked(since);
        }
    }
}

impl InTasks<Subscriber> {
    /// Receives the next message; waits for it.
    ///
    /// # Errors
    /// As [`Subscriber::recv`]; [`RecvError::System`] outside of a runtime.
    pub async fn recv(&mut self) -> Result<Sample<'_>, RecvError> {
        let at = poll_fn(|context| self.poll_place(context)).await?;
        Ok(self.end.view(at))
    }

    /// Receives several messages: waits for the first and takes those behind it that are there; as
    /// [`Subscriber::recv_many`]. When the future is dropped, `each` has seen nothing.
    ///
    /// # Errors
    /// As [`recv`](Self::recv), when there is no first message.
    pub async fn recv_many(&mut self, max: usize, mut each: impl FnMut(Sample<'_>)) -> Result<usize, RecvError> {
        let Some(more) = max.checked_sub(1) else { return Ok(0) };
        each(self.recv().await?);
        Ok(1 + self.end.take_more(more, each))
    }

    fn poll_place(&mut self, context: &mut Context<'_>) -> Poll<Result<usize, RecvError>> {
        poll_until(self, context, RecvError::System, Subscriber::poll_place)
    }
}

impl<T: Plain> InTasks<TypedSubscriber<T>> {
    /// Receives the next value; waits for it.
    ///
    /// # Errors
    /// As [`TypedSubscriber::recv`]; [`RecvError::System`] outside of a runtime.
    pub async fn recv(&mut self) -> Result<TypedSample<'_, T>, RecvError> {
        let at = poll_fn(|context| self.poll_place(context)).await?;
        self.end.view(at)
    }

    /// Receives several values; as [`InTasks::<Subscriber>::recv_many`].
    ///
    /// # Errors
    /// As [`recv`](Self::recv), when there is no first value.
    pub async fn recv_many(
        &mut self,
        max: usize,
        mut each: impl FnMut(TypedSample<'_, T>),
    ) -> Result<usize, RecvError> {
        let Some(more) = max.checked_sub(1) else { return Ok(0) };
        each(self.recv().await?);
        Ok(1 + self.end.take_more(more, each))
    }

    fn poll_place(&mut self, context: &mut Context<'_>) -> Poll<Result<usize, RecvError>> {
        poll_until(self, context, RecvError::System, TypedSubscriber::poll_place)
    }
}

impl<T: DeserializeOwned> InTasks<SerdeSubscriber<T>> {
    /// Receives the next value; waits for it.
    ///
    /// # Errors
    /// As [`SerdeSubscriber::recv`]; [`RecvError::System`] outside of a runtime.
    pub async fn recv(&mut self) -> Result<T, RecvError> {
        let at = poll_fn(|context| self.poll_place(context)).await?;
        self.end.view(at)
    }

    /// Receives several values; as [`InTasks::<Subscriber>::recv_many`].
    ///
    /// # Errors
    /// As [`recv`](Self::recv), when there is no first value.
    pub async fn recv_many(&mut self, max: usize, mut each: impl FnMut(T)) -> Result<usize, RecvError> {
        let Some(more) = max.checked_sub(1) else { return Ok(0) };
        each(self.recv().await?);
        Ok(1 + self.end.take_more(more, each))
    }

    fn poll_place(&mut self, context: &mut Context<'_>) -> Poll<Result<usize, RecvError>> {
        poll_until(self, context, RecvError::System, SerdeSubscriber::poll_place)
    }
}

impl InTasks<EventListener> {
    /// Waits for a notice; how many were given since the last time.
    ///
    /// # Errors
    /// As [`EventListener::wait`]; [`RecvError::System`] outside of a runtime.
    pub async fn wait(&mut self) -> Result<u64, RecvError> {
        let counted = |listener: &mut EventListener| listener.take().map(|notices| (notices > 0).then_some(notices));
        poll_fn(|context| poll_until(self, context, RecvError::System, counted)).await
    }
}

impl<P: Carry> InTasks<StateWatcher<P>> {
    /// Waits until the value changes; the latest. A value that was there when the watcher was opened, and that nobody has
    /// looked at, is a change.
    ///
    /// # Errors
    /// As [`StateWatcher::changed`]; [`RecvError::System`] outside of a runtime.
    pub async fn changed(&mut self) -> Result<&P::Value, RecvError> {
        poll_fn(|context| poll_until(self, context, RecvError::System, StateWatcher::try_change)).await?;
        self.end.get()?.ok_or(RecvError::Empty)
    }
}

impl InTasks<NodeWatch> {
    /// Waits for the next change.
    ///
    /// # Errors
    /// As [`NodeWatch::next_change`]; [`NodeError::System`] outside of a runtime.
    pub async fn next_change(&mut self) -> Result<Change, NodeError> {
        poll_fn(|context| self.poll_change(context)).await
    }

    fn poll_change(&mut self, context: &mut Context<'_>) -> Poll<Result<Change, NodeError>> {
        poll_until(self, context, |error| NodeError::system("wait for a change in a task")(error), NodeWatch::try_next)
    }
}

macro_rules! stream {
    (impl<$($parameter:ident: $bound:path),*> $end:ty, $item:ty, $own:expr) => {
        impl<$($parameter: $bound),*> Stream for InTasks<$end> {
            type Item = Result<$item, RecvError>;

            fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
                let this = self.get_mut();
                if this.ended {
                    return Poll::Ready(None);
                }
                let item = ready!(this.poll_place(context)).and_then(|at| $own(&mut this.end, at));
                this.ended = matches!(item, Err(RecvError::Forked | RecvError::System(_)));
                Poll::Ready(Some(item))
            }
        }
    };
}

stream!(impl<> Subscriber, HeldSample, |end: &mut Subscriber, at| Ok(end.view(at).hold()));
stream!(impl<T: Plain> TypedSubscriber<T>, T, |end: &mut TypedSubscriber<T>, at| end.view(at).map(|value| *value));
stream!(impl<T: DeserializeOwned> SerdeSubscriber<T>, T, |end: &mut SerdeSubscriber<T>, at| end.view(at));

impl Stream for InTasks<NodeWatch> {
    type Item = Result<Change, NodeError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if this.ended {
            return Poll::Ready(None);
        }
        let item = ready!(this.poll_change(context));
        this.ended = item.is_err();
        Poll::Ready(Some(item))
    }
}
