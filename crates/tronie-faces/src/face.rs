//! What is known about a face: the record that annotators fill, one field each.

use serde::{Deserialize, Serialize};

use crate::annotators::{AgeGender, Attributes, Embedding, Expression, HeadPose, Parsing, Quality, Region};
use crate::geometry::templates::FivePoints;
use crate::geometry::{Point, Rect};

/// One face of a picture. Coordinates are pixels of the picture; fields of annotators that did not run are absent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Face {
    /// The detector's box, left, top, right, bottom.
    #[serde(rename = "box")]
    pub rect: Rect,
    /// The detector's confidence, 0 to 1.
    pub score: f32,
    /// Eyes, nose tip and mouth corners: the detector's own where it has them, else read off the 68 landmarks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub points: Option<FivePoints>,
    /// Landmarks in the order of iBUG 300-W.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub landmarks_68: Option<Vec<Point>>,
    /// Landmarks in the order of insightface.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub landmarks_106: Option<Vec<Point>>,
    /// Landmarks with hairline, in the order of the annotator's table.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub landmarks_110: Option<Vec<Point>>,
    /// Which part of the face every pixel around it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parsing: Option<Parsing>,
    /// Outlines of eyes, eyebrows, mouth and nose, the surest first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub regions: Option<Vec<Region>>,
    /// The mesh of MediaPipe: x, y, and a relative depth in the same unit, smaller is nearer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mesh_468: Option<Vec<[f32; 3]>>,
    /// Who it is, as a direction in space.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub embedding: Option<Embedding>,
    /// Apparent age and gender.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub age_gender: Option<AgeGender>,
    /// Seven expressions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expression: Option<Expression>,
    /// Age group, glasses, smile, hair color.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attributes: Option<Attributes>,
    /// Where the head points.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head_pose: Option<HeadPose>,
    /// Sharpness, exposure, noise, compression, size.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quality: Option<Quality>,
}

impl Face {
    /// A face about which nothing but its box is known.
    #[must_use]
    pub fn new(rect: Rect, score: f32, points: Option<FivePoints>) -> Self {
        Self {
            rect,
            score,
            points,
            landmarks_68: None,
            landmarks_106: None,
            landmarks_110: None,
            parsing: None,
            regions: None,
            mesh_468: None,
            embedding: None,
            age_gender: None,
            expression: None,
            attributes: None,
            head_pose: None,
            quality: None,
        }
    }
}
