//! Surveys of services that are typed by a request and a reply.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use super::account::{Account, ServerInfo};
use super::error::CallError;
use super::survey::{Answer, Survey};
use super::typed::{Carries, TypedClient, encoded};
use crate::waits::{Endpoint, Seam};

/// One result of one server, as a value; see [`Answer`].
pub struct TypedAnswer<R> {
    server: Arc<ServerInfo>,
    value: R,
}

impl<R> TypedAnswer<R> {
    /// Whose it is.
    pub fn server(&self) -> &ServerInfo {
        &self.server
    }

    /// What it says.
    pub fn value(&self) -> &R {
        &self.value
    }

    /// The same, to keep.
    pub fn into_value(self) -> R {
        self.value
    }
}

impl<R> Deref for TypedAnswer<R> {
    type Target = R;

    fn deref(&self) -> &R {
        &self.value
    }
}

impl<R: fmt::Debug> fmt::Debug for TypedAnswer<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TypedAnswer").field("server", &self.server).field("value", &self.value).finish()
    }
}

/// A [`Survey`] of a typed service. A server whose answer is not of this type has failed ([`CallError::Misunderstood`]), and more of
/// it is not wanted.
pub struct TypedSurvey<'c, P: Carries> {
    survey: Survey<'c>,
    carries: PhantomData<fn(P) -> P>,
}

impl<P: Carries> TypedClient<P> {
    /// See [`Client::survey`](super::Client::survey).
    ///
    /// # Errors
    /// The same, and [`CallError::NotSent`] when the request cannot be encoded.
    pub fn survey(&mut self, request: &P::Request, limit: Duration) -> Result<TypedSurvey<'_, P>, CallError> {
        let request = encoded::<P>(request)?;
        Ok(TypedSurvey { survey: self.client.survey(&request, limit)?, carries: PhantomData })
    }
}

impl<P: Carries> TypedSurvey<'_, P> {
    /// See [`Survey::try_next`].
    ///
    /// # Errors
    /// The same.
    pub fn try_next(&mut self) -> Result<Option<TypedAnswer<P::Reply>>, CallError> {
        self.next_by(|survey| survey.try_next())
    }

    /// See [`Survey::next_timeout`].
    ///
    /// # Errors
    /// The same.
    pub fn next_timeout(&mut self, limit: Duration) -> Result<Option<TypedAnswer<P::Reply>>, CallError> {
        self.next_by(|survey| survey.next_timeout(limit))
    }

    fn next_by(
        &mut self,
        mut next: impl FnMut(&mut Survey<'_>) -> Result<Option<Answer>, CallError>,
    ) -> Result<Option<TypedAnswer<P::Reply>>, CallError> {
        // Every round ends a server's part, but for the last.
        loop {
            let Some(answer) = next(&mut self.survey)? else { return Ok(None) };
            if let Some(answer) = self.understand(answer) {
                return Ok(Some(answer));
            }
        }
    }

    fn understand(&mut self, answer: Answer) -> Option<TypedAnswer<P::Reply>> {
        let (server, bytes) = answer.into_parts();
        match P::take_reply(&bytes) {
            Ok(value) => Some(TypedAnswer { server, value }),
            Err(why) => {
                self.survey.misunderstood(&server, why);
                None
            }
        }
    }

    /// See [`Survey::is_over`].
    pub fn is_over(&self) -> bool {
        self.survey.is_over()
    }

    /// See [`Survey::asked`].
    pub fn asked(&self) -> usize {
        self.survey.asked()
    }

    /// See [`Survey::outstanding`].
    pub fn outstanding(&self) -> usize {
        self.survey.outstanding()
    }

    /// See [`Survey::account`].
    pub fn account(self) -> Account {
        self.survey.account()
    }
}

/// As [`Survey`]'s.
impl<P: Carries> Iterator for TypedSurvey<'_, P> {
    type Item = Result<TypedAnswer<P::Reply>, CallError>;

    fn next(&mut self) -> Option<Self::Item> {
        // Every round ends a server's part, but for the last.
        loop {
            match self.survey.next()? {
                Err(error) => return Some(Err(error)),
                Ok(answer) => {
                    if let Some(answer) = self.understand(answer) {
                        return Some(Ok(answer));
                    }
                }
            }
        }
    }
}

/// As [`Survey`]'s.
impl<P: Carries> Endpoint for TypedSurvey<'_, P> {
    fn seam(&mut self) -> Seam<'_> {
        self.survey.seam()
    }
}

impl<P: Carries> fmt::Debug for TypedSurvey<'_, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TypedSurvey").field(&self.survey).finish()
    }
}
