"""Where a new service runs: the network that the command line names, else the default VPC."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from infra.stacks import Refused

if TYPE_CHECKING:
    from infra.service.stage import Aws

OWN_CERTIFICATES = (
    "A shared Listener has its own certificates.\nLeave out CertificateArn, and add the "
    "certificate to the listener."
)
_LAST_PRIORITY = 50000  # ELB: CreateRule, Priority


@dataclass(frozen=True)
class Network:
    """Parameters of the stack for its network, and how a shared load balancer is reached."""

    parameters: Mapping[str, str]
    scheme: str = "http"
    dns: str = ""

    @classmethod
    def of_listener(cls, aws: "Aws", arn: str) -> "Network":
        """The network of a shared listener, and two free priorities. Raises Refused."""
        elb = aws.client("elbv2")
        listener = elb.describe_listeners(ListenerArns=[arn])["Listeners"][0]
        balancer = elb.describe_load_balancers(LoadBalancerArns=[listener["LoadBalancerArn"]])[
            "LoadBalancers"
        ][0]
        if balancer["Type"] != "application" or not balancer.get("SecurityGroups"):
            raise Refused(
                f"Listener={arn} is not of an application load balancer with a security group.\n"
                "Give another one, or leave it out for a load balancer of its own."
            )
        pages = elb.get_paginator("describe_rules").paginate(ListenerArn=arn)
        used = {
            int(rule["Priority"])
            for page in pages
            for rule in page["Rules"]
            if rule["Priority"].isdigit()
        }
        first = max(used, default=0) + 1
        if first + 1 > _LAST_PRIORITY:
            raise Refused(
                f"Listener={arn} has no free priority after its last rule.\nMove that rule."
            )
        zones = balancer["AvailabilityZones"]
        return cls(
            {
                "Vpc": balancer["VpcId"],
                "Subnets": ",".join(zone["SubnetId"] for zone in zones),
                "LoadBalancerSecurityGroup": balancer["SecurityGroups"][0],
                "TestPriority": str(first),
                "Priority": str(first + 1),
            },
            scheme=listener["Protocol"].lower(),
            dns=balancer["DNSName"],
        )


def find_network(aws: "Aws", given: Mapping[str, str]) -> Network:
    """The network of a new service. Raises Refused."""
    if listener := given.get("Listener"):
        if not given.get("Domain"):
            raise Refused(
                "A shared Listener sends requests to services by their host name, and DOMAIN is "
                "missing.\nGive for instance DOMAIN=web.example.com."
            )
        if given.get("CertificateArn"):
            raise Refused(OWN_CERTIFICATES)
        return Network.of_listener(aws, listener)
    if given.get("Vpc") or given.get("Subnets"):
        if not (given.get("Vpc") and given.get("Subnets")):
            raise Refused("Vpc and Subnets must be given together.\nGive both, or neither.")
        return _two_zones(aws, given["Vpc"], given["Subnets"].split(","))
    ec2 = aws.client("ec2")
    default = ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"]
    if not default:
        raise Refused(
            f"There is no default VPC in {aws.session.region_name}.\n"
            'Give a network: ARGS="Vpc=vpc-… Subnets=subnet-…,subnet-…" with public subnets in two '
            "availability zones, or create the default one: aws ec2 create-default-vpc"
        )
    vpc = default[0]["VpcId"]
    subnets = ec2.describe_subnets(
        Filters=[
            {"Name": "vpc-id", "Values": [vpc]},
            {"Name": "default-for-az", "Values": ["true"]},
        ]
    )["Subnets"]
    return _two_zones(aws, vpc, [subnet["SubnetId"] for subnet in subnets])


def _two_zones(aws: "Aws", vpc: str, subnets: list[str]) -> Network:
    found = aws.client("ec2").describe_subnets(SubnetIds=subnets)["Subnets"] if subnets else []
    strangers = [each["SubnetId"] for each in found if each["VpcId"] != vpc]
    if strangers:
        raise Refused(f"{', '.join(strangers)} is not in {vpc}.\nGive subnets of this VPC.")
    # One subnet of each zone: a load balancer takes no two of one zone.
    by_zone = {each["AvailabilityZone"]: each["SubnetId"] for each in reversed(found)}
    if len(by_zone) < 2:
        raise Refused(
            f"A load balancer needs subnets in two availability zones, and {vpc} has "
            f"{len(by_zone)} here.\n"
            'Give others: ARGS="Vpc=vpc-… Subnets=subnet-…,subnet-…".'
        )
    return Network({"Vpc": vpc, "Subnets": ",".join(sorted(by_zone.values()))})
