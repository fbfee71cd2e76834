//! What a submitter says of its surroundings, for whoever asks what limits the fleet.

use crate::fence::Fenced;
use crate::submit::Shared;
use assets::IntentError;
use provider::CreateAnswer;
use worker::{Around, around};

impl Shared {
    /// The second fence could not be read or written.
    pub(crate) fn note_ill_fence(&self, error: &IntentError) {
        match error {
            IntentError::Away(why) | IntentError::Unusable(why) => {
                around::ill(self.store.pool(), Around::Bucket, why);
            }
            // One intent that a person has to look at is no illness of the place.
            IntentError::Unreadable { .. } => {}
        }
    }

    /// After a write to the second fence. A look proves less: a bucket may be read and take nothing.
    pub(crate) fn note_raise(&self, fenced: &Fenced) {
        match fenced {
            Fenced::Unclear(error) => self.note_ill_fence(error),
            Fenced::Raised | Fenced::Taken(_) if self.intents.is_some() => {
                around::well(self.store.pool(), Around::Bucket);
            }
            Fenced::Raised | Fenced::Taken(_) => {}
        }
    }

    /// After a create. A definite no is an answer; what a gate of our own kept back says nothing.
    pub(crate) fn note_create(&self, answer: &CreateAnswer) {
        let pool = self.store.pool();
        match answer {
            CreateAnswer::Accepted { .. } | CreateAnswer::Refused(_) => {
                around::well(pool, Around::Creates);
            }
            CreateAnswer::Unclear { kind, .. } => around::ill(pool, Around::Creates, kind),
            CreateAnswer::NotSent { unreachable: true, .. } => {
                around::ill(pool, Around::Creates, "unreachable");
            }
            CreateAnswer::NotSent { unreachable: false, .. } => {}
        }
    }
}
