//! Plots as SVG that takes its colours from the page around it.

use super::axis::Axis;
use plotters::coord::Shift;
use plotters::prelude::{
    Cartesian2d, ChartBuilder, ChartContext, Color, DrawingArea, IntoDrawingArea, IntoFont, PathElement, RGBColor,
    Rectangle, SVGBackend, TRANSPARENT,
};

/// Colours as they are on a light page. The style sheet names them again to give them others on a dark one.
pub(crate) const INK: RGBColor = RGBColor(0x5b, 0x64, 0x72);
pub(crate) const GRID: RGBColor = RGBColor(0xe6, 0xe9, 0xee);
pub(crate) const ALLOWED: RGBColor = RGBColor(0x2f, 0x6f, 0xde);
pub(crate) const DENIED: RGBColor = RGBColor(0xe2, 0x6d, 0x3c);
pub(crate) const USE: RGBColor = RGBColor(0x1b, 0x94, 0x8c);
pub(crate) const QUOTA: RGBColor = RGBColor(0xb4, 0x2b, 0x3f);
pub(crate) const WANTED: RGBColor = RGBColor(0x7d, 0x4f, 0xc4);

/// In units of the drawing, which is twice as fine as it is shown, so that thin bars keep their width.
const SIZE: (u32, u32) = (1840, 500);
const FONT: f64 = 30.0;

pub(crate) type Failed = Box<dyn std::error::Error>;
pub(crate) type Context<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<Axis, Axis>>;

/// What surrounds the data.
pub(crate) struct Frame {
    /// For those who cannot see it.
    pub label: String,
    pub x: Axis,
    pub x_name: String,
    pub y: Axis,
    pub y_name: String,
}

/// Draws a plot into SVG for use inside HTML.
pub(crate) fn draw(
    frame: Frame,
    paint: impl FnOnce(&mut Context<'_, '_>) -> Result<(), Failed>,
) -> Result<String, Failed> {
    let mut svg = String::new();
    {
        let area: DrawingArea<SVGBackend<'_>, Shift> = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        let mut chart = ChartBuilder::on(&area)
            .margin(12)
            .margin_right(36)
            .x_label_area_size(92)
            .y_label_area_size(150)
            .build_cartesian_2d(frame.x.clone(), frame.y.clone())?;
        let text = ("sans-serif", FONT).into_font().color(&INK);
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID.stroke_width(2))
            .axis_style(GRID.stroke_width(2))
            .label_style(text.clone())
            .axis_desc_style(text)
            .x_desc(frame.x_name)
            .y_desc(frame.y_name)
            .draw()?;
        paint(&mut chart)?;
        drop(chart);
        area.present()?;
    }
    // Within HTML the name space is known, and the size is the page's to say.
    let end = svg.find('>').ok_or("the drawing is empty")?;
    let (width, height) = SIZE;
    let label = super::escape(&frame.label);
    Ok(format!("<svg viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{label}\">{}", &svg[end + 1..]))
}

/// A filled box from one corner to the other.
pub(crate) fn bar(
    chart: &mut Context<'_, '_>,
    (from, to): ((f64, f64), (f64, f64)),
    colour: RGBColor,
) -> Result<(), Failed> {
    chart.draw_series(std::iter::once(Rectangle::new([from, to], colour.filled())))?;
    Ok(())
}

pub(crate) fn line(chart: &mut Context<'_, '_>, points: Vec<(f64, f64)>, colour: RGBColor) -> Result<(), Failed> {
    chart.draw_series(std::iter::once(PathElement::new(points, colour.stroke_width(4))))?;
    Ok(())
}
