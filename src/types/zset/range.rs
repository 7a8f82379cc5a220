//! Ranges of scores and of members.

/// An end of a range of scores.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct ScoreBound {
    /// Where it is; a number, which may be infinite.
    pub score: f64,
    /// Whether the score itself lies outside.
    pub is_open: bool,
}

/// A range of scores.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct ScoreRange {
    /// The lower end.
    pub min: ScoreBound,
    /// The upper end.
    pub max: ScoreBound,
}

impl ScoreRange {
    /// Whether a score lies below all of the range.
    #[inline]
    pub fn is_below(&self, score: f64) -> bool {
        score < self.min.score || self.min.is_open && score == self.min.score
    }

    /// Whether a score lies above all of the range.
    #[inline]
    pub fn is_above(&self, score: f64) -> bool {
        score > self.max.score || self.max.is_open && score == self.max.score
    }
}

/// An end of a range of members.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LexBound<'a> {
    /// Below every member.
    Lowest,
    /// Above every member.
    Highest,
    /// At a member, which lies within.
    Closed(&'a [u8]),
    /// At a member, which lies outside.
    Open(&'a [u8]),
}

/// A range of members.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LexRange<'a> {
    /// The lower end.
    pub min: LexBound<'a>,
    /// The upper end.
    pub max: LexBound<'a>,
}

impl LexRange<'_> {
    /// Whether a member lies below all of the range.
    #[inline]
    pub fn is_below(&self, member: &[u8]) -> bool {
        match self.min {
            LexBound::Lowest => false,
            LexBound::Highest => true,
            LexBound::Closed(min) => member < min,
            LexBound::Open(min) => member <= min,
        }
    }

    /// Whether a member lies above all of the range.
    #[inline]
    pub fn is_above(&self, member: &[u8]) -> bool {
        match self.max {
            LexBound::Lowest => true,
            LexBound::Highest => false,
            LexBound::Closed(max) => member > max,
            LexBound::Open(max) => member >= max,
        }
    }
}
