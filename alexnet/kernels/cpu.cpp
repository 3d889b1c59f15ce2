// The kernels for the CPU: each passes over memory once, on pictures whose maps lie side by side (NHWC).
//
// A plain C interface, called through ctypes. No floating-point sum crosses threads and every sum has a fixed order:
// results are bit for bit the same at every run and for any number of threads.
//
// Padded rows. A row of W places × C maps is held in float32 as groups (one place, one block of maps) with a few zeros
// between them, so that the window over neighbouring maps is a plain sum of shifted reads over the whole row, for any
// number of maps and any window: what it reads beyond its block is zero.

#include "lanes.h"

#include <algorithm>
#include <limits>
#include <type_traits>
#include <vector>

namespace {

// As EMPTY in reference.py: a denominator below this counts as zero, and what it divides as zero too.
constexpr float kEmpty = 1e-24f;

using Row = std::vector<float>;

}  // namespace

// Mirrored field by field in compiled.py.
struct Norm {
    float k, alpha, beta;
    int64_t size;    // of the window; 0: no normalisation
    int64_t blocks;  // of maps that the norm across maps stays inside
    int32_t quarters;  // beta · 4 where that is 1 … 4, otherwise 0: any beta, slowly
};

// [ReLU] → [norm across neighbouring maps] → [norm inside each map, over places] → [ReLU] → [max-pool]
struct Problem {
    int64_t pictures, height, width, maps;  // of the input
    int64_t out_height, out_width, kernel, stride;
    Norm across, inside;
    int32_t relu_first, relu_last;
    int32_t is_bfloat16;
    int64_t threads;
};

namespace {

// s^−beta and 1 / s. `Usual` here and below: beta = 3/4, and a window of 5 across maps, as in both papers, known to
// the compiler.
struct Powers {
    Floats power, reciprocal;
};

template <bool Usual>
inline Powers powers(Floats s, const Norm& norm) {
    // All powers in quarters come from one s^(−1/4) by products; std::pow works lane by lane.
    Floats root = fourth_root_reciprocal(s), square = root * root, reciprocal = square * square, power = root;
    if (Usual) {
        power = square * root;
    } else if (norm.quarters) {
        for (int quarter = 1; quarter < norm.quarters; ++quarter) power *= root;
    } else {
        for (int lane = 0; lane < kLanes; ++lane) power[lane] = std::pow(s[lane], -norm.beta);
    }
    Ints empty = s < kEmpty;  // false for NaN: it stays
    return {empty ? Floats{} : power, empty ? Floats{} : reciprocal};
}

inline Floats at_least(Floats value, float floor) { return value < floor ? floor + Floats{} : value; }  // keeps NaN

float floor_of(bool relu) { return relu ? 0.0f : -std::numeric_limits<float>::infinity(); }

struct Layout {  // of a padded row
    long below, above, pad, block, step, place, groups;

    explicit Layout(const Problem& p) {
        const long size = std::max<long>(p.across.size, 1), blocks = p.across.size ? p.across.blocks : 1;
        block = p.maps / blocks;
        below = std::min(size / 2, block - 1);
        above = std::min((size - 1) / 2, block - 1);
        // The backward pass reads the mirrored window, so the zeros must suffice for either side.
        pad = std::max(below, above);
        step = block + pad;
        place = blocks * step;
        groups = p.width * blocks;
    }
    // Some groups, with room to read `pad` before their start and a register beyond their end. All zero.
    Row row(long groups) const { return Row(groups * step + 2 * pad + 2 * kLanes, 0.0f); }
};

// Groups worked on at a time: what lies between input and output stays in the first-level cache, and registers full of
// lanes end where the last group ends.
constexpr long kChunk = 16;
static_assert(kChunk % kLanes == 0, "a chunk is whole registers");

template <class T>
void unpack(const T* from, long groups, const Layout& at, float floor, float* padded) {
    for (long group = 0; group < groups; ++group, from += at.block, padded += at.step)
        for (long i = 0; i < at.block; i += kLanes) {
            long left = at.block - i;
            store_up_to(padded + i, at_least(load_up_to(from + i, left), floor), left);
        }
}

// Writes value(place in the padded row) for every map of some groups.
template <class T, class Value>
void pack(long groups, const Layout& at, T* to, const Value& value) {
    for (long group = 0; group < groups; ++group, to += at.block)
        for (long i = 0; i < at.block; i += kLanes) store_up_to(to + i, value(group * at.step + i), at.block - i);
}

template <bool Usual>
inline Floats denominator(const float* a, const Layout& at, const Norm& norm) {
    const long below = Usual ? 2 : at.below, above = Usual ? 2 : at.above;
    Floats sum{};
    for (long step = -below; step <= above; ++step) {
        Floats value = load(a + step);
        sum += value * value;
    }
    return norm.k + norm.alpha * sum;
}

template <bool Usual>
inline Floats normalised(const float* a, const Layout& at, const Norm& norm, float floor) {
    return at_least(load(a) * powers<Usual>(denominator<Usual>(a, at, norm), norm).power, floor);
}

// The gradient of some groups: `upper`, at the output, in padded rows → `out`, at the input. The others are scratch.
template <class T, bool Usual>
void normalise_backward(const float* a, const float* upper, long groups, const Layout& at, const Problem& p, T* out,
                        float* scaled, float* shared) {
    // With t the gradient at the output and s the denominator, the gradient at a_i is
    //     t_i s_i^−β − 2αβ a_i Σ_j t_j a_j s_j^(−β−1)   over the maps j whose window holds i.
    // The first loop makes both products of t for each map, the second sums the shared one over neighbouring maps.
    const bool masks = p.relu_last && !p.inside.size;  // behind a norm inside each map that norm's gradient is masked
    const long length = groups * at.step;
    for (long i = 0; i < length; i += kLanes) {
        Floats value = load(a + i), gradient = load(upper + i);
        Powers s = powers<Usual>(denominator<Usual>(a + i, at, p.across), p.across);
        if (masks) gradient = value <= 0.0f ? Floats{} : gradient;
        gradient *= s.power;
        store(scaled + i, gradient);
        store(shared + i, gradient * value * s.reciprocal);
    }
    for (long group = 0; group < groups; ++group)  // a NaN must not leak through the zeros between groups
        std::fill_n(shared + group * at.step + at.block, at.pad, 0.0f);
    std::fill_n(shared + length, kLanes, 0.0f);
    const float factor = 2 * p.across.alpha * p.across.beta;
    const long below = Usual ? 2 : at.below, above = Usual ? 2 : at.above;
    pack(groups, at, out, [&](long i) {
        Floats sum{}, value = load(a + i);
        // j's window reaches from j − below to j + above, so i lies in those of j = i − above … i + below.
        for (long step = -above; step <= below; ++step) sum += load(shared + i + step);
        Floats gradient = load(scaled + i) - factor * value * sum;
        return p.relu_first ? (value <= 0.0f ? Floats{} : gradient) : gradient;
    });
}

// ---- Normalisation inside each map, over a window of places ------------------------------------------------------

// Padded rows after ReLU and the norm across maps, each computed once while windows need it. Rows count through all
// pictures.
template <class T, bool Usual>
class AcrossRows {
    struct Kept {
        long tag = -1;
        Row values;
    };
    const Problem& p;
    const Layout& at;
    const T* x;
    Row scratch;
    std::vector<Kept> ring;

  public:
    AcrossRows(const Problem& p, const Layout& at, const T* x, long rows)
        : p(p), at(at), x(x), scratch(at.row(kChunk)), ring(rows, Kept{-1, at.row(at.groups)}) {}

    const float* operator[](long row) {
        // A ring of as many rows as the windows at work reach: a new row takes the slot of one that none reads any more.
        Kept& kept = ring[row % ring.size()];
        float *to = kept.values.data() + at.pad, *a = scratch.data() + at.pad;
        if (kept.tag == row) return to;
        kept.tag = row;
        for (long first = 0; first < at.groups; first += kChunk, to += kChunk * at.step) {
            const long groups = std::min(kChunk, at.groups - first);
            unpack(x + (row * at.groups + first) * at.block, groups, at, floor_of(p.relu_first), p.across.size ? a : to);
            for (long i = 0; p.across.size && i < groups * at.step; i += kLanes)
                store(to + i, normalised<Usual>(a + i, at, p.across, floor_of(false)));
        }
        return kept.values.data() + at.pad;
    }
};

// Sums over a window of rows and places, clipped at the borders.
struct PlaceWindow {
    long before, after, place, length;
    Row column_sums;  // `before` places of zeros, the row, `after` places of zeros

    PlaceWindow(long before, long after, const Problem& p, const Layout& at)
        : before(before), after(after), place(at.place), length(p.width * at.place),
          column_sums(length + (before + after) * at.place + kLanes, 0.0f) {}

    template <class Addend>  // addend(row, i): lanes i … of it
    void sum(long row, long height, float* out, const Addend& addend) {
        float* sums = column_sums.data() + before * place;
        const long start = row - row % height;
        const long first = std::max(start, row - before), last = std::min(start + height - 1, row + after);
        // First down the columns, then along the row: n + n additions for each value in place of n · n.
        for (long i = 0; i < length; i += kLanes) {
            Floats sum{};
            for (long r = first; r <= last; ++r) sum += addend(r, i);
            store_up_to(sums + i, sum, length - i);
        }
        for (long i = 0; i < length; i += kLanes) {
            Floats sum{};
            for (long step = -before; step <= after; ++step) sum += load(sums + i + step * place);
            store(out + i, sum);
        }
    }
};

// Rows of the norm inside each map, and of its gradient.
template <class T, bool Usual>
class InsideRows {
    struct Kept {
        long tag = -1;
        Row scaled, shared;
    };
    const Problem& p;
    const long before, after;
    AcrossRows<T, Usual> across;
    PlaceWindow window, adjoint;
    Row sums;
    std::vector<Kept> ring;

    Powers powers_at(long i) const {
        return powers<Usual>(p.inside.k + p.inside.alpha * load(&sums[i]), p.inside);
    }
    void sum_squares(long row) {
        std::vector<const float*> near(p.inside.size);
        for (long r = row - before; r <= row + after; ++r)
            if (r >= row - row % p.height && r < row - row % p.height + p.height) near[r - row + before] = across[r];
        window.sum(row, p.height, sums.data(), [&](long r, long i) {
            Floats value = load(near[r - row + before] + i);
            return value * value;
        });
    }

  public:
    InsideRows(const Problem& p, const Layout& at, const T* x, bool backward)
        : p(p), before(p.inside.size / 2), after((p.inside.size - 1) / 2),
          across(p, at, x, backward ? 2 * p.inside.size - 1 : p.inside.size), window(before, after, p, at),
          adjoint(after, before, p, at), sums(at.row(at.groups)),
          ring(backward ? p.inside.size : 0, Kept{-1, at.row(at.groups), at.row(at.groups)}) {}

    void forward(long row, float floor, float* out) {
        sum_squares(row);
        const float* value = across[row];
        for (long i = 0; i < window.length; i += kLanes)
            store(out + i, at_least(load(value + i) * powers_at(i).power, floor));
    }

    // upper(row, out): the gradient at the output → `out`: the gradient of what the norm across maps has made.
    template <class Upper>
    void backward(long row, float* out, const Upper& upper) {
        // The rows whose windows hold this one: `before` and `after` change sides. Each row's products are kept in the
        // ring, so that they are computed once although several rows sum them.
        const long start = row - row % p.height;
        for (long r = std::max(start, row - after); r <= std::min<long>(start + p.height - 1, row + before); ++r) {
            Kept& kept = ring[r % p.inside.size];
            if (kept.tag == r) continue;
            kept.tag = r;
            upper(r, kept.scaled.data());
            sum_squares(r);
            const float* values = across[r];
            for (long i = 0; i < window.length; i += kLanes) {
                Floats value = load(values + i), gradient = load(&kept.scaled[i]);
                Powers s = powers_at(i);
                if (p.relu_last) gradient = value <= 0.0f ? Floats{} : gradient;
                store(&kept.scaled[i], gradient * s.power);
                store(&kept.shared[i], gradient * s.power * value * s.reciprocal);
            }
        }
        adjoint.sum(row, p.height, sums.data(),
                    [&](long r, long i) { return load(&ring[r % p.inside.size].shared[i]); });
        const float factor = 2 * p.inside.alpha * p.inside.beta, *values = across[row];
        const Row& scaled = ring[row % p.inside.size].scaled;
        for (long i = 0; i < window.length; i += kLanes)
            store(out + i, load(&scaled[i]) - factor * load(values + i) * load(&sums[i]));
    }
};

// ---- All of it ---------------------------------------------------------------------------------------------------

// A pooled place takes the first largest value in row-major order, or the last NaN, as PyTorch does.
inline void take_larger(Floats value, Ints index, Floats& best, Ints& switches) {
    Ints larger = (value > best) | (value != value);
    best = larger ? value : best;
    switches = larger ? index : switches;
}

struct PooledRow {  // an input row pooled along itself, kept until all windows that need it are done
    long tag = -1;
    Row values;
    std::vector<int32_t> switches;
};

// A maximum over a window is the maximum along each of its rows, then down the rows. Where windows overlap, a row is
// pooled along itself once for all windows that it is in.
void pool_along(const float* row, const Layout& at, const Problem& p, PooledRow& pooled) {
    for (long place = 0; place < p.out_width; ++place) {
        long start = place * p.stride, taps = std::min<long>(p.kernel, p.width - start);
        const float* from = row + start * at.place;
        for (long i = 0; i < at.place; i += kLanes) {
            Floats best = load(from + i);
            Ints switches{};
            for (int tap = 1; tap < taps; ++tap)
                take_larger(load(from + tap * at.place + i), tap + Ints{}, best, switches);
            store(&pooled.values[place * at.place + i], best);
            write(&pooled.switches[place * at.place + i], switches);
        }
    }
}

template <class T, bool Usual>
void forward_rows(const Problem& p, const T* x, T* out, uint8_t* switches, long first, long last) {
    const Layout at(p);
    Row a_row = at.row(kChunk), z_row = at.row(at.groups);
    float *a = a_row.data() + at.pad, *z = z_row.data() + at.pad;
    const long pooled_length = p.out_width * at.place;
    PooledRow blank{-1, Row(pooled_length + kLanes), std::vector<int32_t>(pooled_length + kLanes)};
    std::vector<PooledRow> ring(p.kernel, blank);
    std::vector<PooledRow*> window(p.kernel);
    PooledRow& result = blank;
    const bool pools = p.kernel > 1 || p.stride > 1, norms = p.across.size > 0;
    const long out_stride = p.out_width * p.maps;
    // ReLU is a floor of 0, and where no norm stands between them both ReLUs are one, applied on the way in.
    const float floor = floor_of(p.relu_first || (!norms && p.relu_last)), last_floor = floor_of(p.relu_last);
    InsideRows<T, Usual> inside(p, at, x, false);

    auto by_chunks = [&](const auto& work) {
        for (long first = 0; first < at.groups; first += kChunk) work(first, std::min(kChunk, at.groups - first));
    };
    auto transform = [&](long row) {  // row counts through all pictures
        if (p.inside.size) return inside.forward(row, last_floor, z);
        by_chunks([&](long first, long groups) {
            float* to = z + first * at.step;
            unpack(x + (row * at.groups + first) * at.block, groups, at, floor, norms ? a : to);
            if (norms)
                for (long i = 0; i < groups * at.step; i += kLanes)
                    store(to + i, normalised<Usual>(a + i, at, p.across, last_floor));
        });
    };
    for (long row = first; row < last; ++row) {
        if (!pools && p.inside.size) {
            transform(row);
            pack(at.groups, at, out + row * out_stride, [&](long i) { return load(z + i); });
            continue;
        }
        if (!pools) {
            by_chunks([&](long first, long groups) {
                long offset = (row * at.groups + first) * at.block;
                unpack(x + offset, groups, at, floor, a);
                pack(groups, at, out + offset,
                     [&](long i) { return norms ? normalised<Usual>(a + i, at, p.across, last_floor) : load(a + i); });
            });
            continue;
        }
        // Vertical half of the pooling. Windows at the far edge overhang the map and have fewer taps (the ceil rule).
        long picture = row / p.out_height, start = row % p.out_height * p.stride;
        long taps = std::min<long>(p.kernel, p.height - start);
        for (long tap = 0; tap < taps; ++tap) {
            long source = picture * p.height + start + tap;
            PooledRow& slot = *(window[tap] = &ring[source % p.kernel]);
            if (slot.tag != source) {
                transform(source);
                pool_along(z, at, p, slot);
                slot.tag = source;
            }
        }
        for (long i = 0; i < pooled_length; i += kLanes) {
            Floats best = load(&window[0]->values[i]);
            Ints switched = read<Ints>(&window[0]->switches[i]);
            for (long tap = 1; tap < taps; ++tap)
                take_larger(load(&window[tap]->values[i]),
                            read<Ints>(&window[tap]->switches[i]) + int32_t(tap * p.kernel), best, switched);
            store(&result.values[i], best);
            write(&result.switches[i], switched);
        }
        long groups = p.out_width * (at.place / at.step);
        pack(groups, at, out + row * out_stride, [&](long i) { return load(&result.values[i]); });
        if (switches) {
            uint8_t* to = switches + row * out_stride;
            for (long group = 0; group < groups; ++group, to += at.block)
                for (long i = 0; i < at.block; i += kLanes)
                    store_up_to(to + i, read<Ints>(&result.switches[group * at.step + i]), at.block - i);
        }
    }
}

// Adds the gradient of one pooled row to input row `tap_row` of its windows.
template <class T>
void unpool(const T* upper, const uint8_t* switches, const Layout& at, const Problem& p, long tap_row, float* gradient) {
    for (long place = 0; place < p.out_width; ++place) {
        long start = place * p.stride, taps = std::min<long>(p.kernel, p.width - start);
        for (long block = 0; block < at.place; block += at.step, upper += at.block, switches += at.block)
            for (long i = 0; i < at.block; i += kLanes) {
                Floats value = load_up_to(upper + i, at.block - i);
                Ints chosen = load_up_to(switches + i, at.block - i);
                float* to = gradient + start * at.place + block + i;
                for (long tap = 0; tap < taps; ++tap, to += at.place) {
                    Floats mine = chosen == int32_t(tap_row * p.kernel + tap) ? value : Floats{};
                    store(to, load(to) + mine);
                }
            }
    }
}

template <class T, bool Usual>
void backward_rows(const Problem& p, const T* x, const T* upper, const uint8_t* switches, T* out, long first, long last) {
    const Layout at(p);
    const bool pools = p.kernel > 1 || p.stride > 1, norms = p.across.size > 0;
    const bool masks = p.relu_first || (!norms && !p.inside.size && p.relu_last), whole = pools || p.inside.size;
    Row a_row = at.row(kChunk), gradient_row = at.row(whole ? at.groups : kChunk), scaled_row = at.row(kChunk);
    Row shared_row = at.row(kChunk);
    float *a = a_row.data() + at.pad, *gradient = gradient_row.data() + at.pad;
    float *scaled = scaled_row.data() + at.pad, *shared = shared_row.data() + at.pad;
    const float floor = floor_of(masks), none = floor_of(false);
    const long out_stride = p.out_width * p.maps;
    InsideRows<T, Usual> inside(p, at, x, p.inside.size > 0);

    auto unpooled = [&](long row, float* to) {  // the gradient at what was pooled, in a padded row
        if (!pools) return unpack(upper + row * out_stride, at.groups, at, none, to);
        std::fill_n(to, at.groups * at.step, 0.0f);
        long picture = row / p.height, place = row % p.height;
        // The pooled rows whose windows hold this one: window · stride ≤ place < window · stride + kernel. Each input row
        // gathers from them by itself, so that no two threads add to one value.
        long from = std::max(0L, (place - p.kernel + p.stride) / p.stride);
        long until = std::min<long>(place / p.stride, p.out_height - 1);
        for (long window = from; window <= until; ++window) {
            long offset = (picture * p.out_height + window) * out_stride;
            unpool(upper + offset, switches + offset, at, p, place - window * p.stride, to);
        }
    };
    for (long row = first; row < last; ++row) {
        if (p.inside.size) inside.backward(row, gradient, unpooled);
        else if (pools) unpooled(row, gradient);
        for (long first = 0; first < at.groups; first += kChunk) {
            long groups = std::min(kChunk, at.groups - first), offset = (row * at.groups + first) * at.block;
            const float* part = whole ? gradient + first * at.step : gradient;
            if (!whole) unpack(upper + offset, groups, at, none, gradient);
            if (norms || masks) unpack(x + offset, groups, at, floor, a);  // a pool alone knows its switches
            if (norms) {
                normalise_backward<T, Usual>(a, part, groups, at, p, out + offset, scaled, shared);
            } else {
                pack(groups, at, out + offset, [&](long i) {
                    Floats value = load(part + i);
                    return masks ? (load(a + i) <= 0.0f ? Floats{} : value) : value;
                });
            }
        }
    }
}

// The compiler sees the papers' sizes as constants in one of two copies of each kernel and unrolls its loops.
template <class Call>
void as_usual_or_not(bool usual, const Call& call) {
    if (usual) call(std::true_type{});
    else call(std::false_type{});
}

bool usual_norms(const Problem& p) {
    const bool across = p.across.size == 5 && p.across.quarters == 3 && p.maps / p.across.blocks > 2;
    return (across || !p.across.size) && (p.inside.quarters == 3 || !p.inside.size);
}

template <class T>
void forward(const Problem& p, const void* x, void* out, uint8_t* switches) {
    as_usual_or_not(usual_norms(p), [&](auto usual) {
        in_parallel(p.pictures * p.out_height, p.threads, [&](long first, long last) {
            forward_rows<T, usual.value>(p, (const T*)x, (T*)out, switches, first, last);
        });
    });
}

template <class T>
void backward(const Problem& p, const void* x, const void* upper, const uint8_t* switches, void* out) {
    as_usual_or_not(usual_norms(p), [&](auto usual) {
        in_parallel(p.pictures * p.height, p.threads, [&](long first, long last) {
            backward_rows<T, usual.value>(p, (const T*)x, (const T*)upper, switches, (T*)out, first, last);
        });
    });
}

// ---- Update and augmentation -------------------------------------------------------------------------------------

// [A] §5: v = momentum * v - decay * learning_rate * w - learning_rate * g;  w = w + v.
// copy: the weights rounded to bfloat16, or null.
template <class T>
void update(float* weight, float* velocity, const T* gradient, bfloat16* copy, long count, float learning_rate, float momentum,
            float decay, long threads) {
    const float shrink = decay * learning_rate;
    in_parallel((count + kLanes - 1) / kLanes, threads, [&](long first, long last) {
        for (long i = first * kLanes; i < last * kLanes; i += kLanes) {
            long left = count - i;
            Floats w = load_up_to(weight + i, left), v = load_up_to(velocity + i, left);
            v = momentum * v - shrink * w - learning_rate * load_up_to(gradient + i, left);
            w += v;
            store_up_to(velocity + i, v, left);
            store_up_to(weight + i, w, left);
            if (copy) store_up_to(copy + i, w, left);
        }
    });
}

// ---- Convolution by tiles ----------------------------------------------------------------------------------------

}  // namespace

// Mirrored field by field in compiled.py. Pictures of height × width × maps, zeros around them (`before`: in front), in
// overlapping tiles of size × size places: rows × columns of a picture, each `step` places from the next.
struct Tiles {
    int64_t pictures, height, width, maps, before, groups, rows, columns, size, step, threads;

    // Calls body(top, left, place, map, at, count) for up to kLanes maps of each tile: the tile's corner in the picture,
    // its offset in memory, the first map's number, the offset of the tile's first place among all tiles, maps left.
    template <class Body>
    void each(const Body& body) const {
        const long of_group = maps / groups, all = pictures * rows * columns;
        in_parallel(all, threads, [&](long first, long last) {
            for (long tile = first; tile < last; ++tile)
                for (long group = 0; group < groups; ++group)
                    for (long map = 0; map < of_group; map += kLanes) {
                        const long top = tile / columns % rows * step - before, left = tile % columns * step - before;
                        const long place = ((tile / (rows * columns) * height + top) * width + left) * maps;
                        body(top, left, place + group * of_group + map, group * of_group + map,
                             (group * all + tile) * of_group + map, of_group - map);
                    }
        });
    }
    long apart() const { return maps * pictures * rows * columns; }  // a tile's places among all tiles
};

namespace {

// left · tile · leftᵀ, left: To × From.
template <int From, int To>
inline void between(const float* left, const Floats (&tile)[From][From], Floats (&out)[To][To]) {
    Floats half[From][To] = {};  // leftᵀ's side first
    for (int row = 0; row < From; ++row)
        for (int to = 0; to < To; ++to) {
            Floats sum{};
            for (int from = 0; from < From; ++from) sum += left[to * From + from] * tile[row][from];
            half[row][to] = sum;
        }
    for (int to = 0; to < To; ++to)
        for (int column = 0; column < To; ++column) {
            Floats sum{};
            for (int row = 0; row < From; ++row) sum += left[to * From + row] * half[row][column];
            out[to][column] = sum;
        }
}

template <int Size>
void into_tiles(const Tiles& t, const float* x, const float* left, float* out) {
    t.each([&](long top, long edge, long place, long, long at, long count) {
        Floats tile[Size][Size], made[Size][Size];
        for (long row = 0; row < Size; ++row)
            for (long column = 0; column < Size; ++column) {
                const bool inside = top + row >= 0 && top + row < t.height && edge + column >= 0 && edge + column < t.width;
                tile[row][column] = inside ? load_up_to(x + place + (row * t.width + column) * t.maps, count) : Floats{};
            }
        between<Size, Size>(left, tile, made);
        for (long number = 0; number < Size * Size; ++number)
            store_up_to(out + number * t.apart() + at, made[number / Size][number % Size], count);
    });
}

template <int Size, int Step>
void out_of_tiles(const Tiles& t, const float* products, const float* left, const float* bias, float* out) {
    t.each([&](long top, long edge, long place, long map, long at, long count) {
        Floats tile[Size][Size], made[Step][Step];
        for (long number = 0; number < Size * Size; ++number)
            tile[number / Size][number % Size] = load_up_to(products + number * t.apart() + at, count);
        between<Size, Step>(left, tile, made);
        const Floats added = load_up_to(bias + map, count);
        for (long row = 0; row < Step && top + row < t.height; ++row)
            for (long column = 0; column < Step && edge + column < t.width; ++column)
                store_up_to(out + place + (row * t.width + column) * t.maps, made[row][column] + added, count);
    });
}

}  // namespace

extern "C" {

extern const int32_t alexnet_lanes;
const int32_t alexnet_lanes = kLanes;

void alexnet_forward(const Problem* p, const void* x, void* out, uint8_t* switches) {
    if (p->is_bfloat16) forward<bfloat16>(*p, x, out, switches);
    else forward<float>(*p, x, out, switches);
}

void alexnet_backward(const Problem* p, const void* x, const void* upper, const uint8_t* switches, void* out) {
    if (p->is_bfloat16) backward<bfloat16>(*p, x, upper, switches, out);
    else backward<float>(*p, x, upper, switches, out);
}

void alexnet_update(float* weight, float* velocity, const void* gradient, void* copy, int32_t is_bfloat16, int64_t count,
                    float learning_rate, float momentum, float decay, int64_t threads) {
    bfloat16* lean = (bfloat16*)copy;
    if (is_bfloat16) update(weight, velocity, (const bfloat16*)gradient, lean, count, learning_rate, momentum, decay, threads);
    else update(weight, velocity, (const float*)gradient, lean, count, learning_rate, momentum, decay, threads);
}

// Maps → tiles between `left` (size × size) and its transpose: one place of all tiles after the other, in each group after
// group.
void alexnet_into_tiles(const Tiles* t, const float* x, const float* left, float* out) {
    t->size == 7 ? into_tiles<7>(*t, x, left, out) : into_tiles<8>(*t, x, left, out);
}

// Such tiles between `left` (step × size) and its transpose, side by side, plus `bias` → maps.
void alexnet_out_of_tiles(const Tiles* t, const float* products, const float* left, const float* bias, float* out) {
    t->size == 7 ? out_of_tiles<7, 5>(*t, products, left, bias, out) : out_of_tiles<8, 4>(*t, products, left, bias, out);
}

// Blocks of stride × stride pixels → maps, which turns a convolution of this stride into one of stride 1.
// x: B × H × W × maps values of `bytes` bytes, with `before` rows and columns of zeros in front and as many behind as
// are needed → out: B × rows × columns × (stride × stride × maps), a block's pixels row by row.
void alexnet_space_to_depth(const char* x, int64_t pictures, int64_t height, int64_t width, int64_t maps, int64_t bytes,
                   int64_t stride, int64_t before, int64_t rows, int64_t columns, char* out, int64_t threads) {
    const long pixel = maps * bytes, span = stride * pixel;
    in_parallel(pictures * rows, threads, [&](long first, long last) {
        for (long line = first; line < last; ++line)
            for (long step = 0; step < stride; ++step) {
                const long row = line % rows * stride + step - before;
                const char* from = x + (line / rows * height + row) * width * pixel;
                char* to = out + (line * columns * stride + step) * span;
                for (long block = 0; block < columns; ++block, to += stride * span) {
                    const long left = block * stride - before, right = left + stride;
                    const bool inside = row >= 0 && row < height;
                    // Nearly all blocks lie inside: a copy of one size. Those at the edges are cut.
                    if (inside && left >= 0 && right <= width) {
                        std::memcpy(to, from + left * pixel, span);
                        continue;
                    }
                    std::memset(to, 0, span);
                    const long begin = std::max(0L, left), end = std::min<long>(width, right);
                    if (inside && begin < end)
                        std::memcpy(to + (begin - left) * pixel, from + begin * pixel, (end - begin) * pixel);
                }
            }
    });
}

// pictures: B × H × W × 3 bytes → out: B × size × size × 3. mean: mean_height × mean_width × 3 floats; where it is as
// large as the crop it is taken as it lies, where `aligned` it is cropped and mirrored with the picture.
void alexnet_augment(const uint8_t* pictures, int64_t count, int64_t height, int64_t width, const int64_t* offsets,
                     const uint8_t* mirror, const float* mean, int64_t mean_width, int32_t aligned, const float* noise,
                     float scale, int64_t size, int32_t is_bfloat16, void* out, int64_t threads) {
    in_parallel(count * size, threads, [&](long first, long last) {
        const long length = size * 3;
        Row pixels(length + kLanes), means(length + kLanes), noises(length + kLanes);
        for (long line = first; line < last; ++line) {
            long picture = line / size, row = line % size;
            long top = offsets[2 * picture] + row, left = offsets[2 * picture + 1];
            const uint8_t* from = pictures + ((picture * height + top) * width + left) * 3;
            const float* mean_from = aligned ? mean + (top * mean_width + left) * 3 : mean + row * mean_width * 3;
            bool flips = mirror[picture];
            for (long column = 0; column < size; ++column) {
                long source = flips ? size - 1 - column : column;
                for (long colour = 0; colour < 3; ++colour) {
                    pixels[column * 3 + colour] = from[source * 3 + colour];
                    means[column * 3 + colour] = mean_from[(aligned ? source : column) * 3 + colour];
                }
            }
            // The noise is one colour for a whole picture: written again only where a thread meets a new picture.
            if (line == first || row == 0)
                for (long i = 0; i < length; ++i) noises[i] = noise ? noise[picture * 3 + i % 3] : 0.0f;
            for (long i = 0; i < length; i += kLanes) {
                Floats value = (load(&pixels[i]) - load(&means[i]) + load(&noises[i])) * scale;
                if (is_bfloat16) store_up_to((bfloat16*)out + line * length + i, value, length - i);
                else store_up_to((float*)out + line * length + i, value, length - i);
            }
        }
    });
}

}  // extern "C"
