// Operations on the colours of a picture, bit for bit as Pillow's ImageOps and ImageEnhance do them
// (which timm and torchvision call). In place, on 1 or 3 channels of 8 bits; what concerns colours
// alone leaves a grey picture as it is. Private to this module. Thread-safe.
#pragma once

#include <cstdint>
#include <opencv2/core.hpp>

namespace lathe::data {

// The grey of a pixel, 0-255.
int Grey(const uint8_t* rgb);

// A factor of 0 gives black, the mean grey, the grey picture or the smoothed one; 1 changes
// nothing.
void Brightness(float factor, cv::Mat& picture);
void Contrast(float factor, cv::Mat& picture);
void Saturation(float factor, cv::Mat& picture);
void Sharpness(float factor, cv::Mat& picture, cv::Mat& buffer);

// Turns the hue by this share of the circle, -0.5 to 0.5.
void Hue(double turn, cv::Mat& picture, cv::Mat& buffer);

void AutoContrast(cv::Mat& picture);  // stretches every channel to 0-255
void Equalize(cv::Mat& picture);      // flattens the histogram of every channel
void Invert(cv::Mat& picture);
void Posterize(int bits, cv::Mat& picture);                  // keeps so many, 0-8
void Solarize(int threshold, cv::Mat& picture);              // inverts values from there on
void SolarizeAdd(int add, int threshold, cv::Mat& picture);  // brightens values below

}  // namespace lathe::data
