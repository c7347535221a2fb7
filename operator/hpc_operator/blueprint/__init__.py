"""What Azure should hold: turns the specs of one environment into a graph of resources.

Pure functions: the same specs give the same graph. Knows neither the Azure SDK nor what Azure holds at present.
"""

from __future__ import annotations

from dataclasses import replace

from hpc_operator.blueprint import adoption, base_services, compute, entry_point, infrastructure, monitoring, storage
from hpc_operator.blueprint.names import Site
from hpc_operator.blueprint.validation import Problem, find_problems
from hpc_operator.blueprint.vocabulary import Blueprint, Inputs, LoginNode, MountPoint
from hpc_operator.graph import Graph

__all__ = [
    "Blueprint",
    "Inputs",
    "LoginNode",
    "MountPoint",
    "Problem",
    "build",
    "find_adoption_problems",
    "find_problems",
]


def build(inputs: Inputs) -> Blueprint:
    """Return what Azure should hold for an environment.

    Parameters
    ----------
    inputs
        The environment with those of its objects that have no problem (see `find_problems` and
        `find_adoption_problems`).
    """
    expected = Site(inputs.subscription_id, inputs.environment, inputs.claim, inputs.former_tags)
    adopted = adoption.find(expected, inputs.tiers)
    site = replace(expected, places=adopted.places)
    step_1 = infrastructure.build(site, inputs.tiers)
    network = step_1.network
    step_2 = base_services.build(site, step_1, inputs.partitions)
    step_3 = storage.build(site, network, inputs.tiers)
    mounts = step_3.mounts.values()
    step_4 = compute.build(site, network, step_2, mounts, inputs.partitions, inputs.image_versions)
    step_5 = entry_point.build(site, network, step_2, mounts)
    steps = (step_1, step_2, step_3, step_4, step_5)
    resources = [resource for step in steps for resource in step.resources]
    resources += monitoring.build(site, resources)
    return Blueprint(
        graph=Graph((*map(adopted.mark, resources), *adopted.other_groups(site))),
        node_sets=step_4.node_sets,
        resource_group_id=site.resource_group_id,
        mounts=step_3.mounts,
        login_nodes=step_5.login_nodes,
    )


def find_adoption_problems(inputs: Inputs) -> list[Problem]:
    """Return what is wrong with `spec.adopt`, in the order of its entries.

    Apart from `find_problems`, because only the graph tells which resources there are to be stood for.

    Parameters
    ----------
    inputs
        As for `build`; the versions of images do not matter.
    """
    environment = inputs.environment
    spec = environment.spec.model_copy(update={"adopt": ()})
    expected = build(replace(inputs, environment=environment.model_copy(update={"spec": spec})))
    return adoption.find_problems(Site(inputs.subscription_id, environment), expected.graph)
