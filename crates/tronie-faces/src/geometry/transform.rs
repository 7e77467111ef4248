//! Affine maps of the plane, and the similarity that fits one set of points onto another.

use super::Point;

/// An affine map: `x' = x[0] x + x[1] y + x[2]`, `y' = y[0] x + y[1] y + y[2]`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Transform {
    /// The row that makes x.
    pub x: [f64; 3],
    /// The row that makes y.
    pub y: [f64; 3],
}

impl Transform {
    /// The map that leaves every point where it is.
    pub const IDENTITY: Self = Self { x: [1.0, 0.0, 0.0], y: [0.0, 1.0, 0.0] };

    /// A shift.
    #[must_use]
    pub const fn translation(x: f64, y: f64) -> Self {
        Self { x: [1.0, 0.0, x], y: [0.0, 1.0, y] }
    }

    /// The rotation, uniform scale and shift that bring `from` onto `to` with the least sum of squared distances, without
    /// reflection; `None` for fewer than two different points.
    ///
    /// Umeyama, "Least-squares estimation of transformation parameters between two point patterns", PAMI 1991. In the
    /// plane, with points as complex numbers around their means, the optimum is the quotient of two sums:
    /// `sum(conj(from) to) / sum(|from|^2)`.
    #[must_use]
    pub fn similarity(from: &[Point], to: &[Point]) -> Option<Self> {
        let mean = |points: &[Point]| {
            let n = points.len() as f64;
            let sum = points
                .iter()
                .fold((0.0, 0.0), |sum, point| (sum.0 + f64::from(point.x), sum.1 + f64::from(point.y)));
            (sum.0 / n, sum.1 / n)
        };
        let (from_mean, to_mean) = (mean(from), mean(to));
        let (mut real, mut imaginary, mut squares) = (0.0, 0.0, 0.0);
        for (from, to) in from.iter().zip(to) {
            let (px, py) = (f64::from(from.x) - from_mean.0, f64::from(from.y) - from_mean.1);
            let (qx, qy) = (f64::from(to.x) - to_mean.0, f64::from(to.y) - to_mean.1);
            real += px * qx + py * qy;
            imaginary += px * qy - py * qx;
            squares += px * px + py * py;
        }
        let (cos, sin) = (real / squares, imaginary / squares);
        let is_defined = from.len() == to.len() && squares > 0.0 && cos.hypot(sin) > 0.0;
        is_defined.then(|| Self {
            x: [cos, -sin, to_mean.0 - cos * from_mean.0 + sin * from_mean.1],
            y: [sin, cos, to_mean.1 - sin * from_mean.0 - cos * from_mean.1],
        })
    }

    /// Where a point goes.
    #[must_use]
    pub fn apply(&self, point: Point) -> Point {
        let (x, y) = self.at(f64::from(point.x), f64::from(point.y));
        #[expect(clippy::cast_possible_truncation, reason = "points are f32")]
        Point::new(x as f32, y as f32)
    }

    /// Where (x, y) goes.
    #[must_use]
    pub fn at(&self, x: f64, y: f64) -> (f64, f64) {
        (self.x[0] * x + self.x[1] * y + self.x[2], self.y[0] * x + self.y[1] * y + self.y[2])
    }

    /// `first`, then this: `a_from_b.after(&b_from_c)` is a from c.
    #[must_use]
    pub fn after(&self, first: &Self) -> Self {
        let row = |row: [f64; 3]| {
            [
                row[0] * first.x[0] + row[1] * first.y[0],
                row[0] * first.x[1] + row[1] * first.y[1],
                row[0] * first.x[2] + row[1] * first.y[2] + row[2],
            ]
        };
        Self { x: row(self.x), y: row(self.y) }
    }

    /// The map back; `None` where this one flattens the plane.
    #[must_use]
    pub fn inverse(&self) -> Option<Self> {
        let ([a, b, tx], [c, d, ty]) = (self.x, self.y);
        let determinant = a * d - b * c;
        (determinant.is_normal()).then(|| Self {
            x: [d / determinant, -b / determinant, (b * ty - d * tx) / determinant],
            y: [-c / determinant, a / determinant, (c * tx - a * ty) / determinant],
        })
    }

    /// How many units of the target one unit of the source becomes, as the square root of the change of area.
    #[must_use]
    pub fn scale(&self) -> f64 {
        (self.x[0] * self.y[1] - self.x[1] * self.y[0]).abs().sqrt()
    }
}
