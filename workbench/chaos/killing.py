"""When to kill, and by what, drawn from a seed and spread over the chain; and doing so."""

from __future__ import annotations

import signal
from bisect import insort
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from random import Random
from signal import SIGINT, SIGKILL, SIGTERM, Signals

from workbench.artifacts.store import Artifact
from workbench.chaos.chain import Chain, Life
from workbench.errors import MlimError

SAVES = 50  # checkpoints of a pre-training: what a kill costs is a fiftieth of it
SIGNALS = (SIGKILL, SIGTERM, SIGKILL, SIGINT, SIGKILL)  # in turns, then shuffled


@dataclass(frozen=True, order=True)
class Kill:
    """A moment of the chain, and a signal."""

    place: int  # of the stage in the chain
    share: float  # of the time that the stage took quietly
    how: Signals


def draw(seconds: Sequence[float], count: int, random: Random) -> list[Kill]:
    """Kills in the order of the chain, whose stages took so long quietly.

    By turns a stage is drawn evenly, so that the quick ones are hit, too, and by its time.
    """
    places = range(len(seconds))
    evenly = random.sample(places, len(places))
    drawn = [random.choices(places, seconds)[0] if i % 2 else evenly[i // 2 % len(evenly)] for i in range(count)]
    signals = random.sample([SIGNALS[i % len(SIGNALS)] for i in range(count)], count)
    return sorted(Kill(place, random.random(), how) for place, how in zip(drawn, signals, strict=True))


def between_saves(steps: int) -> int:
    """Steps of a pre-training from one checkpoint to the next."""
    return max(1, steps // SAVES)


@dataclass(frozen=True)
class Killing:
    """A chain on its way to `artifacts`, which took these `seconds` quietly."""

    chain: Chain
    artifacts: Sequence[Artifact]
    seconds: Sequence[float]
    random: Random
    say: Callable[[str], None]

    def run(self, count: int) -> dict[str, list[str]]:
        """Kill it so often, and run it to its end: the kills that hit each stage, fewer in all where its last stage
        was complete before they came. Raises MlimError where it fails by itself, or doesn't die as it should."""
        # `nohup` and shells make commands in the background deaf to Ctrl-C, and their children inherit it
        signal.signal(SIGINT, signal.default_int_handler)
        waiting = draw(self.seconds, count, self.random)
        hits: dict[str, list[str]] = {artifact.stage: [] for artifact in self.artifacts}
        reached = dict.fromkeys(range(len(self.artifacts)), 0.0)  # share of each stage at which it was killed last
        while waiting:
            with self.chain.running() as life:
                while waiting:
                    kill = waiting.pop(0)
                    if self._comes(kill, reached[kill.place], life) and life.strike(kill.how):
                        reached[kill.place] = kill.share
                        number = count - len(waiting)
                        hits[self._hit(kill, number)].append(f"{kill.how.name} {kill.share:.0%}")
                        if self.chain.url and number % 2 == 0:
                            self.chain.lose()
                            reached = dict.fromkeys(reached, 0.0)
                            self.say("   and its machine is lost: the next one has what is in the object store")
                        break
                    life.check()
                    self._draw_again(kill, waiting, ended=life.process.poll() is not None)
        self.chain.run()
        return hits

    def _comes(self, kill: Kill, reached: float, life: Life) -> bool:
        """Wait for its moment; False where its stage was complete before. How far a pre-training is, its checkpoints
        tell; another stage is taken to be where it was killed last, and to go on from there as fast as quietly."""
        artifact, seconds = self.artifacts[kill.place], self.seconds[kill.place]
        if artifact.stage != "pretrain":
            return life.wait_for(artifact.folder.name, max(0.0, kill.share - reached) * seconds)
        steps = artifact.summary["done"]
        saves, left = divmod(kill.share * steps, between_saves(steps))
        saved = saves * between_saves(steps)
        return life.wait_for(artifact.folder.name, left / max(1, steps) * seconds, lambda: self.chain.saved() >= saved)

    def _hit(self, kill: Kill, number: int) -> str:
        """The stage that a kill hit, told."""
        asked = self.artifacts[kill.place].stage
        hit = self.artifacts[next(iter(self._open()), -1)].stage  # the last one, where all were just complete
        came = "" if hit == asked else f", but it came in {hit}"
        goes_on = f"; it goes on from step {self.chain.saved()}" if hit == "pretrain" else ""
        self.say(f"{number}. {kill.how.name} at {kill.share:.0%} of {asked}{came}{goes_on}")
        return hit

    def _draw_again(self, kill: Kill, waiting: list[Kill], ended: bool) -> None:
        """In a stage that isn't complete yet, for one that came too late. Raises MlimError where the chain came to its
        end without the quiet one's artifacts."""
        late = f"   {kill.how.name} at {kill.share:.0%} of {self.artifacts[kill.place].stage} came too late"
        places = self._open()
        if places and ended:
            missing = ", ".join(self.artifacts[place].folder.name for place in places)
            raise MlimError(f"it ended well, but made no {missing} as the quiet run did: the code or the data changed")
        if places:
            insort(waiting, replace(kill, place=self.random.choice(places), share=self.random.random()))
            self.say(f"{late}: drawn again")
        else:
            self.say(f"{late}, at the end of the chain")

    def _open(self) -> list[int]:
        """Places of the stages that aren't complete."""
        return [i for i, a in enumerate(self.artifacts) if not self.chain.has(a.folder.name)]
