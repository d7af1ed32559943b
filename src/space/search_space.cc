#include "space/search_space.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <utility>

#include "base/error.h"
#include "space/impl.h"

namespace lathe::space {
namespace {

// One factor per stage, and one for the resolution. With a conditional count, the other genes of an
// empty stage count once.
double SizeLog10(const SearchSpace::Impl& space, bool conditional) {
  std::vector<double> inner(space.stages.size(), 1);  // choices of a stage's genes but layers
  double log10 = 0;
  for (const Gene& gene : space.genes) {
    const auto count = static_cast<double>(gene.choices.size());
    if (gene.stage < 0) {
      log10 += std::log10(count);
    } else if (gene.kind != GeneKind::kLayers) {
      inner[static_cast<size_t>(gene.stage)] *= count;
    }
  }
  for (size_t i = 0; i < space.stages.size(); ++i) {
    const Attribute& layers = space.stages[i].layers;
    const bool own = layers.gene >= 0 &&
                     space.genes[static_cast<size_t>(layers.gene)].stage == static_cast<int>(i);
    const double counts = own ? static_cast<double>(layers.values.size()) : 1;
    const double empty = conditional && layers.values.front() == 0 ? 1 : 0;
    log10 += std::log10(inner[i] * (counts - empty) + empty);
  }
  return log10;
}

}  // namespace

std::string_view Name(GeneKind kind) {
  switch (kind) {
    case GeneKind::kResolution:
      return "resolution";
    case GeneKind::kFilters:
      return "filters";
    case GeneKind::kKernel:
      return "kernel";
    case GeneKind::kExpansion:
      return "expansion";
    case GeneKind::kSe:
      return "se";
    case GeneKind::kActivation:
      return "activation";
    case GeneKind::kLayers:
      return "layers";
  }
  throw Error(ErrorKind::kInternal, "gene kind {} has no name", static_cast<int>(kind));
}

std::string FormatChoice(const Gene& gene, int choice) {
  if (gene.kind != GeneKind::kActivation) return fmt::format("{}", choice);
  return std::string(net::Name(static_cast<net::Activation>(choice)));
}

std::string FormatChoices(const Gene& gene) {
  constexpr size_t kShown = 16;
  std::vector<std::string> texts;
  for (int choice : gene.choices) texts.push_back(FormatChoice(gene, choice));
  if (texts.size() > kShown) {
    texts.erase(texts.begin() + kShown - 1, texts.end() - 1);
    texts.insert(texts.end() - 1, "...");
  }
  return fmt::format("{}", fmt::join(texts, ", "));
}

int ParseChoice(const Gene& gene, std::string_view text) {
  std::vector<std::string> texts;
  for (int choice : gene.choices) {
    texts.push_back(FormatChoice(gene, choice));
    if (texts.back() == text) return choice;
  }
  std::string hint;
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (gene.ordinal && error == std::errc() && end == text.data() + text.size()) {
    hint = FormatChoice(gene, NearestChoice(gene.kind, gene.choices, value));
  } else {
    hint = NearestName(text, texts);
  }
  throw Error(ErrorKind::kInput, "{}: '{}' is not one of its choices: {}{}", gene.name, text,
              FormatChoices(gene), hint.empty() ? "" : fmt::format("; nearest: {}", hint));
}

int NearestChoice(GeneKind kind, std::span<const int> choices, int value) {
  const auto exact = std::find(choices.begin(), choices.end(), value);
  if (exact != choices.end()) return value;
  if (kind == GeneKind::kActivation) return choices.front();
  return *std::min_element(choices.begin(), choices.end(), [&](int a, int b) {
    return std::abs(int64_t{a} - value) < std::abs(int64_t{b} - value);
  });
}

const Attribute& Stage::operator[](GeneKind kind) const {
  switch (kind) {
    case GeneKind::kFilters:
      return filters;
    case GeneKind::kKernel:
      return kernel;
    case GeneKind::kExpansion:
      return expansion;
    case GeneKind::kSe:
      return se;
    case GeneKind::kActivation:
      return activation;
    case GeneKind::kLayers:
      return layers;
    case GeneKind::kResolution:
      break;
  }
  throw Error(ErrorKind::kInternal, "a stage has no {}", Name(kind));
}

Attribute& Stage::operator[](GeneKind kind) {
  return const_cast<Attribute&>(std::as_const(*this)[kind]);
}

StageValues Stage::At(std::span<const int> encoding) const {
  return {.filters = filters.At(encoding),
          .kernel = kernel.At(encoding),
          .expansion = expansion.At(encoding),
          .se = se.At(encoding),
          .activation = static_cast<net::Activation>(activation.At(encoding)),
          .layers = layers.At(encoding)};
}

int SearchSpace::Impl::LayersGeneOf(const Gene& gene) const {
  if (gene.stage < 0 || gene.kind == GeneKind::kLayers) return -1;
  const Attribute& layers = stages[static_cast<size_t>(gene.stage)].layers;
  return layers.values.front() == 0 ? layers.gene : -1;
}

SearchSpace::SearchSpace(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}

SearchSpace SearchSpace::Load(const std::filesystem::path& path) {
  const ConfigFile file = ConfigFile::LoadToml(path);
  return SearchSpace(std::make_shared<const Impl>(ReadSpace(file.root(), path.stem().string())));
}

SearchSpace SearchSpace::Parse(std::string_view toml, std::string_view name) {
  const ConfigFile file = ConfigFile::ParseToml(toml, name);
  return SearchSpace(std::make_shared<const Impl>(ReadSpace(file.root(), name)));
}

const std::string& SearchSpace::name() const { return impl_->name; }
const std::vector<Gene>& SearchSpace::genes() const { return impl_->genes; }
const std::vector<Stage>& SearchSpace::stages() const { return impl_->stages; }
const Attribute& SearchSpace::resolution() const { return impl_->resolution; }
double SearchSpace::size_log10() const { return SizeLog10(*impl_, true); }
double SearchSpace::raw_size_log10() const { return SizeLog10(*impl_, false); }

size_t SearchSpace::GeneIndex(std::string_view gene) const {
  std::vector<std::string> names;
  for (size_t i = 0; i < genes().size(); ++i) {
    names.push_back(genes()[i].name);
    if (names.back() == gene) return i;
  }
  const std::string nearest = NearestName(gene, names);
  throw Error(ErrorKind::kInput, "space '{}' has no gene '{}'{}", name(), gene,
              nearest.empty() ? fmt::format("; genes: {}", fmt::join(names, ", "))
                              : fmt::format("; did you mean '{}'?", nearest));
}

SearchSpace SearchSpace::Restrict(const std::map<std::string, std::vector<int>>& choices) const {
  Impl restricted = *impl_;
  for (const auto& restriction : choices) {
    const std::string& gene_name = restriction.first;
    const std::vector<int>& allowed = restriction.second;
    const size_t index = GeneIndex(gene_name);
    Gene& gene = restricted.genes[index];
    if (allowed.empty()) {
      throw Error(ErrorKind::kInput, "{}: no value is allowed; give some of: {}", gene_name,
                  FormatChoices(gene));
    }
    for (int value : allowed) {
      if (std::find(gene.choices.begin(), gene.choices.end(), value) == gene.choices.end()) {
        ParseChoice(gene, fmt::format("{}", value));  // throws
      }
    }
    std::erase_if(gene.choices,
                  [&](int choice) { return std::ranges::find(allowed, choice) == allowed.end(); });
    const auto update = [&](Attribute& attribute) {
      if (attribute.gene == static_cast<int>(index)) attribute.values = gene.choices;
    };
    update(restricted.resolution);
    for (Stage& stage : restricted.stages) {
      for (GeneKind kind : kStageKinds) update(stage[kind]);
    }
  }
  return SearchSpace(std::make_shared<const Impl>(std::move(restricted)));
}

bool SearchSpace::Contains(std::span<const int> encoding) const {
  if (encoding.size() != genes().size()) return false;
  for (size_t i = 0; i < encoding.size(); ++i) {
    const std::vector<int>& choices = genes()[i].choices;
    if (!std::binary_search(choices.begin(), choices.end(), encoding[i])) return false;
  }
  return true;
}

void SearchSpace::Check(std::span<const int> encoding) const {
  if (Contains(encoding)) return;
  if (encoding.size() != genes().size()) {
    throw Error(ErrorKind::kInput, "an encoding of space '{}' has {} integers, not {}", name(),
                genes().size(), encoding.size());
  }
  for (size_t i = 0; i < encoding.size(); ++i) {
    const Gene& gene = genes()[i];
    if (std::binary_search(gene.choices.begin(), gene.choices.end(), encoding[i])) continue;
    throw Error(ErrorKind::kInput,
                "space '{}': integer {} of the encoding, {}, is {}; choices: {}; nearest: {}",
                name(), i, gene.name, encoding[i], FormatChoices(gene),
                FormatChoice(gene, NearestChoice(gene.kind, gene.choices, encoding[i])));
  }
}

Encoding SearchSpace::Canonical(Encoding encoding) const {
  for (size_t i = 0; i < encoding.size(); ++i) {
    if (!IsActive(encoding, i)) encoding[i] = genes()[i].choices.front();
  }
  return encoding;
}

bool SearchSpace::IsActive(std::span<const int> encoding, size_t gene) const {
  const int layers = impl_->LayersGeneOf(genes()[gene]);
  return layers < 0 || encoding[static_cast<size_t>(layers)] > 0;
}

Encoding SearchSpace::Sample(Random& random) const {
  Encoding encoding;
  encoding.reserve(genes().size());
  for (const Gene& gene : genes()) {
    encoding.push_back(gene.choices[random.Below(gene.choices.size())]);
  }
  return Canonical(std::move(encoding));
}

std::vector<Encoding> SearchSpace::Neighbours(std::span<const int> encoding) const {
  Check(encoding);
  const Encoding start = Canonical(Encoding(encoding.begin(), encoding.end()));
  std::vector<Encoding> neighbours;
  for (size_t i = 0; i < start.size(); ++i) {
    if (!IsActive(start, i)) continue;
    for (int choice : genes()[i].choices) {
      if (choice == start[i]) continue;
      Encoding neighbour = start;
      neighbour[i] = choice;
      neighbours.push_back(Canonical(std::move(neighbour)));
    }
  }
  return neighbours;
}

}  // namespace lathe::space
