"""The model: what was learned can be taken back, order does not matter, prior and own lessons, and what is said."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from everpost.guard import kinds
from everpost.guard.contents import read_contents
from everpost.guard.learn.features import feature_number, features_of
from everpost.guard.learn.model import MAX_KNOWN, WHOLE, Amount, Class, Counts, Table, make_table, opinion
from everpost.guard.learn.speak import Model, Spoken, Terms, speak
from everpost.guard.model import Signal, Way
from everpost.guard.verdict import Policy, judge
from everpost.mail.header import parse_header
from guard_tools.corpus import mail

lessons = st.lists(
    st.tuples(st.sets(st.integers(0, 40), max_size=8), st.sampled_from(Class), st.integers(1, WHOLE)), max_size=30
)


def counted(given: list[tuple[set[int], Class, int]]) -> Counts:
    counts = Counts()
    for numbers, verdict, weight in given:
        counts.learn(numbers, verdict, weight)
    return counts


@given(lessons, lessons)
def test_learning_and_unlearning_leaves_nothing(kept: list, taken_back: list) -> None:
    counts = counted(kept + taken_back)
    for numbers, verdict, weight in taken_back:
        counts.unlearn(numbers, verdict, weight)
    plain = counted(kept)
    assert (counts.of, counts.total) == (plain.of, plain.total)


@given(lessons, st.randoms())
def test_the_order_of_lessons_does_not_matter(given: list, chance: object) -> None:
    shuffled = list(given)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    one, other = counted(given), counted(shuffled)
    assert make_table(one.of, one.total).to_bytes() == make_table(other.of, other.total).to_bytes()


@given(st.dictionaries(st.integers(0, 2**32 - 1), st.floats(-9, 9, width=32), max_size=200))
def test_a_table_comes_back_as_it_was(weights: dict[int, float]) -> None:
    table = Table.from_bytes(Table(weights).to_bytes())
    assert len(table) == len(weights)
    assert all(table.get(number) == weight for number, weight in weights.items())
    for number in (0, 1, 2**32 - 1, 2**20, 2**20 - 1):
        assert table.get(number) == weights.get(number)


def test_a_table_is_bounded_and_keeps_what_says_most() -> None:
    table = Table({number: 5.0 if number % 100 == 0 else 0.1 for number in range(MAX_KNOWN + 1000)})
    assert len(table) == MAX_KNOWN
    assert table.get(MAX_KNOWN) == 5.0


def test_what_a_feature_says() -> None:
    total = Amount(100 * WHOLE, 50 * WHOLE)
    table = make_table({1: Amount(10 * WHOLE, 0), 2: Amount(10 * WHOLE, 5 * WHOLE), 3: Amount(0, 2 * WHOLE)}, total)
    spam, both, ham = table.get(1), table.get(2), table.get(3)
    assert (spam or 0) > 4
    assert abs(both or 0) < 0.01
    assert -(spam or 0) < (ham or 0) < -3  # two lessons say less than ten
    assert len(make_table({1: Amount(10 * WHOLE, 0)}, Amount(10 * WHOLE, 0))) == 0


def test_own_lessons_start_from_the_prior_and_overrule_it() -> None:
    prior = Table({1: 4.0, 2: 4.0})
    total = Amount(50 * WHOLE, 50 * WHOLE)
    own = make_table({1: Amount(0, 2 * WHOLE), 2: Amount(0, 40 * WHOLE), 3: Amount(0, 2 * WHOLE)}, total, prior)
    little, much, new = own.get(1), own.get(2), own.get(3)
    assert 0 < (little or 0) < 2
    assert (much or 0) < -2
    assert (new or 0) < -3
    assert opinion(["a"], [1], (own, prior)).score < opinion(["a"], [1], (prior,)).score


def features(message: bytes) -> tuple[str, ...]:
    header = parse_header(message)
    return features_of(header, read_contents(message, header))


def trained(amount: int = 60, seed: int = 0) -> Counts:
    counts = Counts()
    for number in range(amount):
        for verdict in Class:
            found = features(mail(number, spam=verdict is Class.SPAM, seed=seed))
            counts.learn(map(feature_number, found), verdict)
    return counts


def model_of(counts: Counts) -> Model:
    return Model(make_table(counts.of, counts.total), counts.total.spam / WHOLE, counts.total.ham / WHOLE)


def test_a_small_corpus_is_told_apart() -> None:
    model = model_of(trained())
    for number in range(200, 260):
        for spam in (True, False):
            spoken, said = speak(features(mail(number, spam=spam, seed=1)), model, None)
            assert spoken is (Spoken.SPAM if spam else Spoken.HAM), said
            assert said.kind == (kinds.CONTENT_SPAM if spam else kinds.CONTENT_HAM).name
            assert "features known: '" in said.evidence
            assert ("+" if spam else "-") in said.evidence


def test_what_people_say_never_decides_alone() -> None:
    """Whatever it has been taught by whom, where administrators taught little."""
    for poison in (Counts(), trained(50), counted([({1}, Class.SPAM, WHOLE)] * 1000 + [({1}, Class.HAM, WHOLE)] * 50)):
        model = model_of(poison)
        for spam in (True, False):
            _, said = speak(features(mail(5, spam=spam)), model, model)
            assert judge([said], Way.INBOUND, Policy()).judgement in ("clean", "suspicious")
            assert -2.0 <= said.weight <= 4.5


def test_it_says_why_it_is_silent() -> None:
    few = model_of(trained(10))
    words = features(mail(1, spam=True))
    for models in ((None, None), (few, None), (None, few), (few, few)):
        spoken, said = speak(words, *models)
        assert (spoken, said.weight, said.kind) == (Spoken.SILENT, 0.0, "content.silent")
        assert "50 of each are needed" in said.evidence
    assert "the organisation has 10 spam and 10 ham" in speak(words, None, few)[1].evidence
    spoken, said = speak(["unheard"] * 3, model_of(trained()), None)
    assert spoken is Spoken.SILENT
    assert "knows 0 of 3" in said.evidence


def test_unbalanced_lessons_are_not_enough() -> None:
    counts = trained(20)
    for number in range(1000):
        counts.learn([number], Class.SPAM)
    assert speak(features(mail(1, spam=False)), model_of(counts), None)[0] is Spoken.SILENT


def test_what_administrators_taught_may_decide_alone() -> None:
    much, terms = model_of(trained(60)), Terms(taught=60)
    words = features(mail(900, spam=True))
    alone = speak(words, much, None, terms)[1].weight
    assert judge([speak(words, much, None, terms)[1]], Way.INBOUND, Policy()).judgement == "spam"
    assert 5 < alone <= 6
    assert speak(words, None, much, terms)[1].weight == 4.5  # the organisation's own lessons do not
    turned = Counts()
    for number in range(60):
        for verdict in Class:
            found = features(mail(number, spam=verdict is Class.HAM))
            turned.learn(map(feature_number, found), verdict)
    ham = features(mail(901, spam=False))
    assert speak(ham, much, model_of(turned), terms)[1].weight == 4.5  # nor when they are turned round


def test_the_weight_follows_the_terms() -> None:
    said: Signal = speak(features(mail(900, spam=True)), model_of(trained()), None, Terms(50, 3.0, 3.0))[1]
    assert said.weight == 3.0
