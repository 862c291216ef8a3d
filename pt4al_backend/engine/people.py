"""What people ask of the round that is open: tasks to be labelled next, and more control picks."""

from pt4al_backend.engine.context import Context, Outcome
from pt4al_backend.engine.rounds import Rounds, last_output


def step(ctx: Context) -> Outcome:
    """Rearranges the open round as people want it; what is served of it follows with the next publication."""
    ctx.store.refresh(ctx.project, "choices_requested")
    requested, rounds = ctx.project.choices_requested, Rounds.of(ctx)
    if requested > ctx.project.choices_handled:
        rounds.serve_choices(last_output(ctx.settings, ctx.project, ctx.options))
        ctx.store.change(ctx.project, choices_handled=requested)
    rounds.add_controls()
    return Outcome.DONE
