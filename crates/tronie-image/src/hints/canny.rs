//! Edges after Canny 1986 (IEEE PAMI 8(6)), with the numbers of OpenCV's `Canny`, which made the training data of every
//! published edge network.
//!
//! OpenCV departs from the paper: no smoothing, the channel with the steepest slope, its slope as |dx| + |dy|, and
//! directions in fixed-point arithmetic. imageproc's Canny smooths first and works on gray, so its lines are others.
//! <https://github.com/opencv/opencv/blob/4.10.0/modules/imgproc/src/canny.cpp>
#![expect(
    clippy::indexing_slicing,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::cast_possible_truncation,
    reason = "a kernel: indices are between 0 and width or height, sides at most MAX_SIDE_PX, slopes at most 2040"
)]

use crate::Pixels;

/// tan 22.5 degrees with 15 bits behind the point.
const TAN_22: i64 = 13_573;
const FRACTION_BITS: u32 = 15;

/// What a pixel is after its neighbours across the edge were looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    No,
    /// Steep enough if it continues an edge.
    Weak,
    Edge,
}

/// White edges on black. A slope above `high` starts an edge, slopes above `low` continue it; both between 0 and 2040.
#[must_use]
pub fn canny(pixels: &Pixels, low: u32, high: u32) -> Pixels {
    let (low, high) = (low.min(high), low.max(high));
    let (w, h) = (pixels.width_px as usize, pixels.height_px as usize);
    let slopes = slopes(pixels, w, h);
    let steepness = |x: usize, y: usize, [dx, dy]: [i32; 2]| {
        let at = (x as i64 + i64::from(dx), y as i64 + i64::from(dy));
        let inside = (0..w as i64).contains(&at.0) && (0..h as i64).contains(&at.1);
        if inside { norm(slopes[at.1 as usize * w + at.0 as usize]) } else { 0 }
    };
    let mut marks = vec![Mark::No; w * h];
    let mut open = Vec::new();
    for (index, slope) in slopes.iter().enumerate() {
        let (x, y) = (index % w, index / w);
        let steep = norm(*slope);
        let [before, after] = across(*slope);
        // Of two equal neighbours in a row or column the first is the edge; on a diagonal neither is.
        let after_may_equal = before[0] == 0 || before[1] == 0;
        let beats_after = match steepness(x, y, after) {
            other if after_may_equal => steep >= other,
            other => steep > other,
        };
        if steep <= low || steep <= steepness(x, y, before) || !beats_after {
            continue;
        }
        marks[index] = Mark::Weak;
        if steep > high {
            marks[index] = Mark::Edge;
            open.push(index);
        }
    }
    follow(&mut marks, open, w);
    let rgb = marks.into_iter().flat_map(|mark| [if mark == Mark::Edge { 255 } else { 0 }; 3]).collect();
    Pixels { rgb, ..*pixels }
}

/// Weak pixels that touch an edge become edge, and so on.
fn follow(marks: &mut [Mark], mut open: Vec<usize>, w: usize) {
    let h = marks.len() / w;
    while let Some(index) = open.pop() {
        let (x, y) = (index % w, index / w);
        for y in y.saturating_sub(1)..(y + 2).min(h) {
            for x in x.saturating_sub(1)..(x + 2).min(w) {
                if marks[y * w + x] == Mark::Weak {
                    marks[y * w + x] = Mark::Edge;
                    open.push(y * w + x);
                }
            }
        }
    }
}

fn norm([dx, dy]: [i32; 2]) -> u32 {
    dx.unsigned_abs() + dy.unsigned_abs()
}

/// The neighbours across an edge, the upper or left one first.
fn across([dx, dy]: [i32; 2]) -> [[i32; 2]; 2] {
    let (x, y) = (i64::from(dx.abs()), i64::from(dy.abs()) << FRACTION_BITS);
    let flat = x * TAN_22;
    if y < flat {
        return [[-1, 0], [1, 0]];
    }
    // tan 67.5 is tan 22.5 + 2
    if y > flat + (x << (FRACTION_BITS + 1)) {
        return [[0, -1], [0, 1]];
    }
    let lean = if (dx ^ dy) < 0 { -1 } else { 1 };
    [[-lean, -1], [lean, 1]]
}

/// Horizontal and vertical Sobel slopes of each pixel's steepest channel; the picture's edge is repeated.
fn slopes(pixels: &Pixels, w: usize, h: usize) -> Vec<[i32; 2]> {
    let value = |x: usize, y: usize, channel: usize| i32::from(pixels.rgb[3 * (y * w + x) + channel]);
    let mut slopes = Vec::with_capacity(w * h);
    for y in 0..h {
        let rows = [y.saturating_sub(1), y, (y + 1).min(h - 1)];
        for x in 0..w {
            let columns = [x.saturating_sub(1), x, (x + 1).min(w - 1)];
            let of_channel = |channel: usize| {
                let at = |column: usize, row: usize| value(columns[column], rows[row], channel);
                let column = |column: usize| at(column, 0) + 2 * at(column, 1) + at(column, 2);
                let row = |row: usize| at(0, row) + 2 * at(1, row) + at(2, row);
                [column(2) - column(0), row(2) - row(0)]
            };
            // the first of equals
            let steepest = (1..3)
                .map(of_channel)
                .fold(of_channel(0), |best, slope| if norm(slope) > norm(best) { slope } else { best });
            slopes.push(steepest);
        }
    }
    slopes
}

#[cfg(test)]
mod tests;
