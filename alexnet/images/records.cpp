// Pillow's resampling of 8-bit RGB, bit for bit: the same weights in 22-bit fixed point, the same sums of integers,
// columns first, 8 bits between the two passes. What Pillow does value by value is done here for four pixels at once.
// And the sums that the statistics of a store are made of.
//
// To be compiled with -ffp-contract=off: the weights are worked out in double precision as Pillow works them out.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

namespace {

#ifdef __AVX2__
constexpr int kLanes = 8;
#else
constexpr int kLanes = 4;
#endif
// As wide as compilers spread bytes to integers by one instruction: of 16 lanes g++ 12 takes each by itself.
typedef int32_t Lanes __attribute__((vector_size(kLanes * 4)));
typedef uint8_t LaneBytes __attribute__((vector_size(kLanes)));

constexpr int kGroupBytes = 16;  // four pixels of four bytes: R, G, B and one that is not used

struct Group {
    Lanes lanes[kGroupBytes / kLanes];
};

constexpr int kPixelBytes = 4;
constexpr int kGroup = kGroupBytes / kPixelBytes;
constexpr int kFractionBits = 22;
constexpr int64_t kExact = 1 << 15;  // pixels whose products (255² at most) have a sum in 32 bits
constexpr double kPi = 3.14159265358979323846;

inline Lanes load(const uint8_t* from) {
    Lanes values;
    for (int lane = 0; lane < kLanes; ++lane) values[lane] = from[lane];
    return values;
}

inline void store(uint8_t* to, const Group& sums) {
    for (Lanes value : sums.lanes) {
        Lanes low = Lanes{}, high = 255 + Lanes{};
        value >>= kFractionBits;
        value = value < low ? low : value;
        value = value > high ? high : value;
        LaneBytes bytes = __builtin_convertvector(value, LaneBytes);
        std::memcpy(to, &bytes, sizeof bytes);
        to += kLanes;
    }
}

// ---- Weights: where along one side each output pixel looks, and how much each place counts ----

struct Filter {
    double (*weight)(double);
    double support;
};

double box(double x) { return x > -0.5 && x <= 0.5 ? 1.0 : 0.0; }

double bilinear(double x) { return std::max(0.0, 1.0 - std::fabs(x)); }

double bicubic(double x) {
    constexpr double a = -0.5;
    x = std::fabs(x);
    if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
    return x < 2.0 ? (((x - 5) * x + 8) * x - 4) * a : 0.0;
}

double sinc(double x) { return x == 0.0 ? 1.0 : std::sin(x * kPi) / (x * kPi); }

double lanczos(double x) { return x >= -3.0 && x < 3.0 ? sinc(x) * sinc(x / 3) : 0.0; }

constexpr Filter kFilters[] = {{box, 0.5}, {bilinear, 1.0}, {bicubic, 2.0}, {lanczos, 3.0}};

struct Weights {
    std::vector<int64_t> first, count;  // of the places that an output pixel looks at
    std::vector<int32_t> values;        // `most` for each output pixel
    int64_t most;

    Weights(int64_t length, float begin, float end, int64_t size, const Filter& filter) : first(size), count(size) {
        double scale = static_cast<double>(end - begin) / size, widened = std::max(scale, 1.0);
        double support = filter.support * widened, reciprocal = 1.0 / widened;
        most = static_cast<int64_t>(std::ceil(support)) * 2 + 1;
        values.assign(size * most, 0);
        std::vector<double> exact(most);
        for (int64_t place = 0; place < size; ++place) {
            double centre = begin + (place + 0.5) * scale, sum = 0.0;
            first[place] = std::max<int64_t>(static_cast<int64_t>(centre - support + 0.5), 0);
            count[place] = std::min(static_cast<int64_t>(centre + support + 0.5), length) - first[place];
            for (int64_t tap = 0; tap < count[place]; ++tap)
                sum += exact[tap] = filter.weight((tap + first[place] - centre + 0.5) * reciprocal);
            for (int64_t tap = 0; tap < count[place]; ++tap) {
                double share = (sum != 0.0 ? exact[tap] / sum : exact[tap]) * (1 << kFractionBits);
                values[place * most + tap] = static_cast<int32_t>(share < 0 ? share - 0.5 : share + 0.5);
            }
        }
    }
};

// The weighted sum at `place` over groups that lie `step` bytes apart.
inline Group weighted(const Weights& weights, int64_t place, const uint8_t* groups, int64_t step) {
    const int32_t* values = &weights.values[place * weights.most];
    groups += weights.first[place] * step;
    Group sums;
    for (Lanes& lanes : sums.lanes) lanes = (1 << (kFractionBits - 1)) + Lanes{};
    for (int64_t tap = 0; tap < weights.count[place]; ++tap) {
        const uint8_t* from = groups + tap * step;
        for (Lanes& lanes : sums.lanes) lanes += load(from) * values[tap], from += kLanes;
    }
    return sums;
}

}  // namespace

// `pixels`: `height` rows of `width` × 3 bytes, `stride` bytes from row to row → `out`: size × size × 3. Columns `left`
// to `right` and rows `upper` to `lower` are what is looked at. `filter`: place in kFilters.
extern "C" void alexnet_resample(const uint8_t* pixels, int64_t height, int64_t width, int64_t stride, float left,
                                 float right, float upper, float lower, int64_t size, int32_t filter, uint8_t* out) {
    Weights across(width, left, right, size, kFilters[filter]), down(height, upper, lower, size, kFilters[filter]);
    int64_t line = (size + kGroup - 1) / kGroup * kGroupBytes;  // of `narrow`: a row of pixels
    std::vector<uint8_t> narrow(height * line), columns(width * kGroupBytes), sums(line);
    for (int64_t row = 0; row < height; row += kGroup) {  // four rows side by side, so that a place of all is one group
        int64_t rows = std::min<int64_t>(kGroup, height - row);
        for (int64_t each = 0; each < rows; ++each) {
            const uint8_t* from = pixels + (row + each) * stride;
            for (int64_t column = 0; column < width; ++column)
                std::memcpy(&columns[column * kGroupBytes + each * kPixelBytes], from + column * 3, 3);
        }
        for (int64_t place = 0; place < size; ++place) {
            uint8_t group[kGroupBytes];
            store(group, weighted(across, place, columns.data(), kGroupBytes));
            for (int64_t each = 0; each < rows; ++each)
                std::memcpy(&narrow[(row + each) * line + place * kPixelBytes], group + each * kPixelBytes, kPixelBytes);
        }
    }
    for (int64_t row = 0; row < size; ++row) {
        for (int64_t group = 0; group < line; group += kGroupBytes)
            store(&sums[group], weighted(down, row, &narrow[group], line));
        for (int64_t column = 0; column < size; ++column)
            std::memcpy(out + (row * size + column) * 3, &sums[column * kPixelBytes], 3);
    }
}

// Adds a record of `count` pixels to the sums of a chunk: `pixels` (count × 3) += x, `products` (3 × 3) += Σ x·xᵀ.
extern "C" void alexnet_add(const uint8_t* record, int64_t count, int32_t* pixels, int64_t* products) {
    for (int64_t value = 0; value < count * 3; ++value) pixels[value] += record[value];
    for (int64_t first = 0; first < count; first += kExact) {
        const uint8_t* from = record + first * 3;
        uint32_t rr = 0, rg = 0, rb = 0, gg = 0, gb = 0, bb = 0;
        for (int64_t pixel = 0; pixel < std::min(kExact, count - first); ++pixel) {
            uint32_t r = from[pixel * 3], g = from[pixel * 3 + 1], b = from[pixel * 3 + 2];
            rr += r * r, rg += r * g, rb += r * b, gg += g * g, gb += g * b, bb += b * b;
        }
        const uint32_t sums[9] = {rr, rg, rb, rg, gg, gb, rb, gb, bb};
        for (int place = 0; place < 9; ++place) products[place] += sums[place];
    }
}
