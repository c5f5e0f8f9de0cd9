//! The tools under test and the beds they are tested on.
