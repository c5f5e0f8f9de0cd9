//! Waits for the bytes of a list in protobuf, and for how long.

use kube::client::Body;

use crate::object::message::Unreadable;
use crate::wire::connect::Cluster;
use crate::wire::error::Error;
use crate::wire::exchange::Limit;
use crate::wire::listing::{Broken, ListMeta, Listing};

/// A list that arrives.
pub(crate) struct Arriving {
    body: Body,
    listing: Option<Listing>,
    stretch: usize,
    limit: Limit,
    count: usize,
}

/// What arrived.
pub(crate) enum More<T> {
    Items(Vec<T>),
    /// The list is whole; the number is that of its items.
    End(ListMeta, usize),
}

// === impl Arriving ===

impl Arriving {
    /// Reads `listing` from `body`. The first `stretch` of objects has what is left of the time of one
    /// request, and each further one has that time again, as a page does.
    pub(crate) fn new(body: Body, listing: Listing, stretch: u32, limit: Limit) -> Self {
        Self {
            body,
            listing: Some(listing),
            stretch: stretch as usize,
            limit,
            count: 0,
        }
    }

    /// Waits for more objects.
    ///
    /// # Errors
    /// The connection breaks, the list is not whole, or it takes too long. It never arrives then.
    pub(crate) async fn more<T>(
        &mut self,
        cluster: &Cluster,
        what: &str,
        read: fn(&[u8]) -> Result<T, Unreadable>,
    ) -> Result<More<T>, Error> {
        let malformed = |why| Error::malformed(what, &format!("{why}"));
        let broken = |why| match why {
            Broken::Unreadable(Unreadable::Cut) => Error::cut(what, &format!("{why}")),
            Broken::Unreadable(_) | Broken::Kind(_) | Broken::Oversized(_) => malformed(why),
        };
        let cut = || broken(Unreadable::Cut.into());
        // Put back below: after an error nothing more is read.
        let mut listing = self.listing.take().ok_or_else(cut)?;
        let mut items = Vec::new();
        while items.is_empty() {
            let next = cluster.bytes_of(what, &mut self.body);
            let Some(bytes) = self.limit.wait(what, cluster, next).await? else {
                return Ok(More::End(listing.end().map_err(broken)?, self.count));
            };
            let add = |object: &[u8]| {
                items.push(read(object)?);
                Ok(())
            };
            listing.feed(bytes.as_ref(), add).map_err(malformed)?;
        }
        self.listing = Some(listing);
        let before = self.count;
        self.count += items.len();
        if self.count / self.stretch > before / self.stretch {
            self.limit = self.limit.again();
        }
        Ok(More::Items(items))
    }
}

impl std::fmt::Debug for Arriving {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Arriving")
            .field("count", &self.count)
            .finish_non_exhaustive()
    }
}
