// The few pieces that pictures are made of (SVG). Coordinates are in px, y downwards.
#pragma once

#include <string>

namespace lathe::cli::svg {

// Colours that stay apart without colour vision; text is near black.
inline constexpr const char* kBlue = "#0072b2";
inline constexpr const char* kOrange = "#d55e00";
inline constexpr const char* kGrey = "#b8c0c8";

// "<svg ...>" with a white ground and the page's font.
std::string Head(double width, double height);
std::string Escaped(const std::string& text);
// `anchor`: "start", "middle" or "end".
std::string Text(double x, double y, const std::string& text, const char* anchor = "start",
                 int size = 12);
// `title` is shown by browsers when the pointer is over it.
std::string Box(double x, double y, double width, double height, const std::string& fill,
                const std::string& title);
std::string Line(double x1, double y1, double x2, double y2, const std::string& colour = "#dde2e7");
std::string Dot(double x, double y, double radius, const std::string& fill,
                const std::string& title);

// A step of 1, 2 or 5 times a power of ten that makes about `count` steps.
double NiceStep(double span, int count);

}  // namespace lathe::cli::svg
