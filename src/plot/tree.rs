//! A tree from its root downwards: as much of it as finds room, the heaviest nodes first; the rest is counted.

use super::canvas::{Anchor, Area, Canvas, Type};
use super::ink::{Ink, Look};
use super::sheet::{Heading, Sheet};
use super::text::{grouped, short};

/// Nodes drawn, at most.
const NODES: usize = 60;

/// A decision tree.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TreePicture {
    /// Title and note.
    pub heading: Heading,
    /// The root is the first; children come after their parent.
    pub nodes: Vec<TreeNode>,
}

/// One node.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TreeNode {
    /// Feature, threshold, and the positions of its children: a row goes to the first one when its value is at most the threshold.
    pub split: Option<(String, f64, usize, usize)>,
    /// What it predicts.
    pub value: String,
    /// Where that lies between the least and the most of the tree, 0 to 1: how strong its colour is.
    pub shade: f64,
    /// Weight of the rows that come to it.
    pub weight: f64,
}

/// A node that is drawn.
struct Drawn {
    node: usize,
    depth: usize,
    /// Positions among the drawn.
    children: Option<(usize, usize)>,
    /// In widths of a box, from the left edge of the picture.
    x: f64,
}

impl TreePicture {
    /// The picture.
    pub fn draw(&self, look: Look) -> String {
        let below = self.below();
        let description = match self.nodes.first() {
            Some(root) => format!(
                "A tree of {} nodes. {}",
                self.nodes.len(),
                root.split
                    .as_ref()
                    .map_or(String::new(), |split| { format!("Its root asks whether {} is at most {}.", split.0, short(split.1, 4)) })
            ),
            None => "A tree without nodes.".to_owned(),
        };
        let mut sheet = Sheet::new(look, &self.heading, &description, &[]);
        let size = sheet.canvas.size;
        let rest = sheet.rest;
        let (wide, high) = (size * 7.8, size * 4.5);
        let (gap, drop) = (size * 0.7, size * 2.0);
        let columns = ((rest.width() + gap) / (wide + gap)).max(1.0);
        let levels = (((rest.height() + drop) / (high + drop)) as usize).max(1);
        let drawn = self.choose(columns, levels);
        let used = drawn.iter().map(|one| one.x).fold(0.0, f64::max);
        let deepest = drawn.iter().map(|one| one.depth).max().unwrap_or(0);
        // what room is left goes between the boxes, and to wider ones where names are long
        let wide = (wide + gap) * (columns / (used + 1.0)).clamp(1.0, 1.6) - gap;
        let left = rest.left + ((rest.width() - (used + 1.0) * (wide + gap) + gap) / 2.0).max(0.0);
        let drop = if deepest > 0 { ((rest.height() - high) / deepest as f64 - high).clamp(drop, drop * 2.2) } else { drop };
        let area = |one: &Drawn| {
            let (x, y) = (left + one.x * (wide + gap), rest.top + one.depth as f64 * (high + drop));
            Area { left: x, top: y, right: x + wide, bottom: y + high }
        };
        let ink = sheet.canvas.ink;
        let heaviest = self.nodes.first().map_or(1.0, |root| root.weight).max(f64::MIN_POSITIVE);
        for one in &drawn {
            let Some((yes, no)) = one.children else { continue };
            let from = area(one);
            for (child, word, anchor, aside) in [(yes, "yes", Anchor::End, -0.7), (no, "no", Anchor::Start, 0.7)] {
                let to = area(&drawn[child]);
                let (a, b) = (((from.left + from.right) / 2.0, from.bottom), ((to.left + to.right) / 2.0, to.top));
                let share = (self.nodes[drawn[child].node].weight / heaviest).clamp(0.0, 1.0);
                sheet.canvas.line(a, b, ink.axis, 1.0 + share.sqrt() * size * 0.35);
                // above the line, whichever way it falls
                let middle = ((a.0 + b.0) / 2.0 + aside * size, (a.1 + b.1) / 2.0 - size * 0.1);
                let face = Type { halo: true, size: size * 0.9, ..sheet.canvas.face(ink.muted, anchor) };
                sheet.canvas.text(middle.0, middle.1, face, word);
            }
        }
        for one in &drawn {
            let hidden = if one.children.is_none() { below[one.node] } else { 0 };
            self.node(&mut sheet.canvas, area(one), &self.nodes[one.node], hidden);
        }
        sheet.canvas.finish()
    }

    /// How many nodes lie below each.
    fn below(&self) -> Vec<usize> {
        let mut below = vec![0_usize; self.nodes.len()];
        for at in (0..self.nodes.len()).rev() {
            if let Some((left, right)) = self.children(at) {
                below[at] = below[left].saturating_add(below[right]).saturating_add(2);
            }
        }
        below
    }

    fn children(&self, at: usize) -> Option<(usize, usize)> {
        let (_, _, left, right) = self.nodes.get(at)?.split.as_ref()?;
        let later = |child: &usize| *child > at && *child < self.nodes.len();
        (later(left) && later(right)).then_some((*left, *right))
    }

    /// Opens the heaviest node whose children find room, as long as there is one.
    fn choose(&self, columns: f64, levels: usize) -> Vec<Drawn> {
        if self.nodes.is_empty() {
            return Vec::new();
        }
        let mut drawn = vec![Drawn { node: 0, depth: 0, children: None, x: 0.0 }];
        let mut refused: Vec<usize> = Vec::new();
        while drawn.len() + 2 <= NODES {
            let may = |at: &usize| {
                drawn[*at].children.is_none()
                    && drawn[*at].depth + 1 < levels
                    && !refused.contains(at)
                    && self.children(drawn[*at].node).is_some()
            };
            let weight = |at: &usize| self.nodes[drawn[*at].node].weight;
            let Some(at) = (0..drawn.len()).filter(may).max_by(|a, b| weight(a).total_cmp(&weight(b)).then(b.cmp(a))) else { break };
            let Some((left, right)) = self.children(drawn[at].node) else { break };
            let (depth, first) = (drawn[at].depth + 1, drawn.len());
            drawn.extend([left, right].map(|node| Drawn { node, depth, children: None, x: 0.0 }));
            drawn[at].children = Some((first, first + 1));
            if place(&mut drawn) > columns {
                drawn.truncate(first);
                drawn[at].children = None;
                refused.push(at);
            }
        }
        place(&mut drawn);
        drawn
    }

    fn node(&self, canvas: &mut Canvas, area: Area, node: &TreeNode, hidden: usize) {
        let (size, ink) = (canvas.size, canvas.ink);
        let shade = if node.shade.is_finite() { node.shade.clamp(0.0, 1.0) } else { 0.0 };
        let leaf = node.split.is_none();
        let edge = if leaf { ink.hue(Ink::BLUE) } else { ink.axis };
        let question = node.split.as_ref().map(|split| format!("{} ≤ {}", split.0, short(split.1, 4)));
        let weight = format!("weight {}", short(node.weight, 4));
        let name =
            [question.as_deref(), Some(node.value.as_str()), Some(weight.as_str())].into_iter().flatten().collect::<Vec<_>>().join("; ");
        canvas.rect(area, ink.paper, 1.0);
        canvas.card(area, ink.hue(Ink::BLUE), 0.04 + 0.36 * shade, edge, &name);
        let middle = (area.left + area.right) / 2.0;
        let face = canvas.face(ink.text, Anchor::Middle);
        let room = area.width() - size * 0.7;
        let weight = match node.weight {
            weight if weight >= 1e4 => super::axis::count((weight / 1e3).round() * 1e3),
            weight => short(weight, 4),
        };
        let mut lines: Vec<(String, Type)> = Vec::new();
        if let (Some(split), 0) = (&node.split, hidden) {
            lines.push((split.0.clone(), Type { bold: true, ..face }));
            lines.push((format!("≤ {}", short(split.1, 4)), Type { bold: true, ..face }));
        }
        lines.push((node.value.clone(), Type { bold: leaf, ..face }));
        if lines.len() < 3 {
            lines.push((format!("weight {weight}"), Type { colour: ink.text, ..face }));
        } else {
            let both = format!("{} · {weight}", node.value);
            lines[2].0 = if super::text::ems(&both) * size <= room { both } else { node.value.clone() };
        }
        if hidden > 0 {
            lines.push((format!("+{} nodes", grouped(hidden as u64)), face));
        }
        let step = size * 1.3;
        let first = (area.top + area.bottom) / 2.0 - step * (lines.len() as f64 - 1.0) / 2.0 + size * 0.35;
        for (at, (text, face)) in lines.iter().enumerate() {
            let text = canvas.fitted(text, room, if face.bold { face.size * 1.06 } else { face.size });
            canvas.text(middle, first + at as f64 * step, *face, &text);
        }
    }
}

/// Gives every drawn node its place: children beside each other, parents in their middle, and each subtree as far to the left as it
/// can stand beside the one before it at every depth. The width of all.
fn place(drawn: &mut [Drawn]) -> f64 {
    // children come after their parents, so from behind every subtree is placed before it is asked for
    let mut outlines: Vec<Vec<(f64, f64)>> = vec![Vec::new(); drawn.len()];
    let mut shift = vec![0.0_f64; drawn.len()];
    for at in (0..drawn.len()).rev() {
        let Some((left, right)) = drawn[at].children else {
            drawn[at].x = 0.0;
            outlines[at] = vec![(0.0, 0.0)];
            continue;
        };
        let (a, b) = (std::mem::take(&mut outlines[left]), std::mem::take(&mut outlines[right]));
        let apart = a.iter().zip(&b).map(|(a, b)| a.1 - b.0 + 1.0).fold(1.0, f64::max);
        shift[right] = apart;
        drawn[at].x = (drawn[left].x + drawn[right].x + apart) / 2.0;
        let deeper = a.len().max(b.len());
        let row = |depth: usize| {
            let moved = b.get(depth).map(|(low, high)| (low + apart, high + apart));
            match (a.get(depth).copied(), moved) {
                (Some(a), Some(b)) => (a.0.min(b.0), a.1.max(b.1)),
                (Some(one), None) | (None, Some(one)) => one,
                (None, None) => (0.0, 0.0),
            }
        };
        outlines[at] = std::iter::once((drawn[at].x, drawn[at].x)).chain((0..deeper).map(row)).collect();
    }
    for at in 0..drawn.len() {
        if let Some((left, right)) = drawn[at].children {
            let own = shift[at];
            shift[left] += own;
            shift[right] += own;
        }
        drawn[at].x += shift[at];
    }
    let least = drawn.iter().map(|one| one.x).fold(f64::INFINITY, f64::min);
    drawn.iter_mut().for_each(|one| one.x -= least);
    drawn.iter().map(|one| one.x).fold(0.0, f64::max) + 1.0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tree whose left children are split `depth` times, and every right child of the first three.
    fn tree(depth: usize) -> TreePicture {
        let mut nodes = vec![TreeNode::default()];
        let mut open = vec![(0, 0)];
        while let Some((at, level)) = open.pop() {
            nodes[at].weight = 1.0 / (level + 1) as f64;
            if level < depth {
                let left = nodes.len();
                nodes.extend([TreeNode::default(), TreeNode::default()]);
                nodes[at].split = Some((format!("f{at}"), 0.5, left, left + 1));
                open.push((left, level + 1));
                if level < 3 {
                    open.push((left + 1, level + 1));
                }
            }
        }
        TreePicture { heading: Heading::default(), nodes }
    }

    #[test]
    fn no_two_nodes_of_a_level_overlap_and_parents_stand_over_their_children() {
        for (depth, columns) in [(4, 40.0), (9, 12.0), (30, 6.0), (0, 1.0)] {
            let drawn = tree(depth).choose(columns, 50);
            for (at, a) in drawn.iter().enumerate() {
                assert!(a.x >= 0.0 && a.x + 1.0 <= columns + 1e-9, "{}", a.x);
                let beside = |b: &Drawn| b.depth != a.depth || (b.x - a.x).abs() >= 1.0 - 1e-9;
                assert!(drawn[at + 1..].iter().all(beside), "depth {depth}");
                if let Some((left, right)) = a.children {
                    assert!((drawn[left].x + drawn[right].x - 2.0 * a.x).abs() < 1e-9);
                }
            }
            assert!(drawn.len() <= NODES);
        }
    }

    #[test]
    fn what_is_not_drawn_is_counted() {
        let picture = tree(20);
        let (below, drawn) = (picture.below(), picture.choose(8.0, 4));
        let hidden: usize = drawn.iter().filter(|one| one.children.is_none()).map(|one| below[one.node]).sum();
        assert_eq!(drawn.len() + hidden, picture.nodes.len());
    }

    #[test]
    fn a_node_that_names_no_children_is_drawn_as_a_leaf() {
        let mut picture = tree(1);
        picture.nodes[0].split = Some(("f".into(), 1.0, 0, 99));
        assert!(picture.draw(Look::default()).ends_with("</svg>\n"));
        assert!(TreePicture::default().draw(Look::default()).ends_with("</svg>\n"));
    }
}
