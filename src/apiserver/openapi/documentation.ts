// What `kubectl explain` says of the built-in kinds: one line per field, `Type.field text`. Calico's kinds and custom ones
// bring their own descriptions.
const lines = `
Object.apiVersion Group and version of the kind.
Object.kind What kind of object this is.
Object.spec What is wanted.
Object.status What is the case; written by whoever takes care of the object.
Object.metadata Name, namespace, labels and what else objects have in common.
ObjectMeta Data that every object has: how it is called, where it belongs, when it was made.
ObjectMeta.name Name, unique among objects of the kind in the namespace. Cannot be changed.
ObjectMeta.generateName Start of a name that the server completes, when name is not given.
ObjectMeta.namespace The namespace of the object. Cannot be changed.
ObjectMeta.uid Identifies the object in time and space: a new object of the same name has another one.
ObjectMeta.resourceVersion Changes with every write. A write that names an old one is refused.
ObjectMeta.generation Counts the changes of what is wanted; status does not count.
ObjectMeta.creationTimestamp When the object was created.
ObjectMeta.deletionTimestamp When the object was or will be deleted; set by the server.
ObjectMeta.deletionGracePeriodSeconds Seconds from the request to delete until the deletion.
ObjectMeta.labels Keys and values by which objects are selected.
ObjectMeta.annotations Keys and values that tools keep with the object; nothing is selected by them.
ObjectMeta.finalizers As long as there are any, a deleted object stays and waits.
ObjectMeta.ownerReferences The objects this one belongs to. It is deleted when all of them are.
ObjectMeta.managedFields Who owns which fields; kept by the server for server-side apply.
OwnerReference An object that this one belongs to.
LabelSelector Selects objects by their labels. All conditions must hold; none selects everything.
LabelSelector.matchLabels Labels that must have these values.
LabelSelector.matchExpressions Conditions on labels: key, operator (In, NotIn, Exists, DoesNotExist), values.
ObjectReference Names another object.
LocalObjectReference Names another object of the same namespace.
Pod Containers that run together on one node and share its network namespace and volumes.
Pod.spec What is to run, and how.
Pod.status What is known of the pod; written by its node.
PodSpec What is to run, and how.
PodSpec.containers The containers of the pod; at least one. Cannot be added or removed later.
PodSpec.initContainers Containers that run one after the other before the others start.
PodSpec.ephemeralContainers Containers added to a running pod, for looking at it.
PodSpec.volumes Storage that containers of the pod can mount.
PodSpec.restartPolicy Whether ended containers are started again: Always, OnFailure or Never.
PodSpec.terminationGracePeriodSeconds Seconds that processes get to end by themselves.
PodSpec.nodeName The node of the pod. Set by the scheduler, or by whoever needs no scheduler.
PodSpec.nodeSelector Labels a node must have to run the pod.
PodSpec.affinity Finer rules for the choice of the node.
PodSpec.tolerations Taints of nodes that the pod puts up with.
PodSpec.serviceAccountName The service account as which the pod acts.
PodSpec.hostNetwork The pod uses the network of its node and has no address of its own.
PodSpec.hostname Host name inside the pod; its name when absent.
PodSpec.subdomain With a service of that name: a name in DNS.
PodSpec.dnsPolicy Where names are looked up: ClusterFirst, Default, ClusterFirstWithHostNet or None.
PodSpec.dnsConfig Name servers and search list beside those of dnsPolicy.
PodSpec.hostAliases Lines for /etc/hosts of the pod.
PodSpec.securityContext User, group and other rights of all containers.
PodSpec.imagePullSecrets Secrets for pulling images.
PodSpec.schedulerName Who chooses the node.
PodSpec.priorityClassName How important the pod is.
PodSpec.activeDeadlineSeconds Seconds after which the pod is ended.
PodSpec.topologySpreadConstraints How pods of a group are spread over zones and nodes.
PodStatus.phase Pending, Running, Succeeded, Failed or Unknown.
PodStatus.conditions What has been reached: PodScheduled, Initialized, ContainersReady, Ready.
PodStatus.podIP The address of the pod.
PodStatus.podIPs All addresses of the pod.
PodStatus.hostIP The address of its node.
PodStatus.startTime When the node took the pod.
PodStatus.containerStatuses What each container is doing.
PodTemplateSpec How the pods that are made look.
PodTemplateSpec.metadata Labels and annotations of the pods.
PodTemplateSpec.spec What the pods run.
Container One process, or a tree of them, with a root directory of its own.
Container.name Name of the container, unique in the pod. Cannot be changed.
Container.image The image whose files the container starts with.
Container.command Program and arguments instead of the entry point of the image.
Container.args Arguments of the entry point.
Container.workingDir Directory in which the container starts.
Container.ports Ports on which it listens. A list for readers, policies and services: other ports are open as well.
Container.env Environment variables.
Container.envFrom Config maps and secrets of which every key becomes an environment variable.
Container.resources How much processor and memory it needs, and may take at most.
Container.volumeMounts Where volumes of the pod are in its file tree.
Container.livenessProbe When this check fails, the container is started again.
Container.readinessProbe While this check fails, services send nothing to the pod.
Container.startupProbe Until this check succeeds, the other ones wait.
Container.lifecycle What is done after the start and before the end.
Container.imagePullPolicy When the image is pulled: Always, IfNotPresent or Never.
Container.securityContext User, capabilities and other rights of the container.
Container.stdin Keeps standard input open.
Container.tty Gives the container a terminal.
ContainerPort A port on which a container listens.
ContainerPort.name Name by which services and policies can refer to the port.
ContainerPort.containerPort Number of the port: 1 to 65535.
ContainerPort.hostPort A port of the node that leads to this one.
ContainerPort.hostIP The address of the node to which hostPort is bound.
ContainerPort.protocol TCP, UDP or SCTP; TCP when absent.
EnvVar One environment variable.
EnvVar.name Its name.
EnvVar.value Its value. $(NAME) stands for the variable NAME.
EnvVar.valueFrom Where the value comes from: a field of the pod, a config map, a secret.
Volume Storage that containers of the pod can mount.
Volume.name Name of the volume, unique in the pod.
Volume.emptyDir A directory that lives as long as the pod.
Volume.hostPath A path of the node.
Volume.configMap Keys of a config map as files.
Volume.secret Keys of a secret as files.
VolumeMount Where a volume is in the file tree of a container.
Probe A check of a container.
Probe.httpGet The check succeeds when a GET is answered with 200 to 399.
Probe.tcpSocket The check succeeds when the port takes a connection.
Probe.exec The check succeeds when the command ends with 0.
Probe.initialDelaySeconds Seconds after the start of the container before the first check.
Probe.periodSeconds Seconds between checks; 10 when absent.
Probe.timeoutSeconds Seconds after which a check has failed; 1 when absent.
Probe.failureThreshold Failures in a row that count; 3 when absent.
Probe.successThreshold Successes in a row that count; 1 when absent.
ResourceRequirements Needs and bounds of processor, memory and other resources.
ResourceRequirements.requests What must be free on the node.
ResourceRequirements.limits What must not be exceeded.
Toleration A taint that the pod puts up with.
Node A machine, or what acts as one, on which pods run.
NodeSpec.podCIDR The range of addresses of its pods, where the cluster hands out such ranges.
NodeSpec.unschedulable No new pods are put on the node.
NodeSpec.taints Keeps pods away that do not tolerate them.
NodeStatus.addresses Addresses and names of the node.
NodeStatus.conditions How the node is: Ready, MemoryPressure, NetworkUnavailable and others.
NodeStatus.capacity What the node has.
NodeStatus.allocatable What of it is for pods.
NodeStatus.nodeInfo Versions of what runs on it.
Namespace A space of names: objects of most kinds live in one and are deleted with it.
Namespace.spec Finalizers of the namespace.
Namespace.status Whether it is Active or Terminating.
Service A stable address and name for a changing set of pods.
ServiceSpec.selector Labels of the pods that the service is for. Without one, endpoints are made by others.
ServiceSpec.type ClusterIP, NodePort, LoadBalancer or ExternalName.
ServiceSpec.clusterIP The address inside the cluster; None for a service without one.
ServiceSpec.ports The ports of the service.
ServiceSpec.externalIPs More addresses on which nodes take traffic for the service.
ServiceSpec.externalTrafficPolicy Whether traffic from outside goes to pods of all nodes (Cluster) or of the one it came to (Local).
ServiceSpec.internalTrafficPolicy The same for traffic from inside.
ServiceSpec.sessionAffinity ClientIP: connections of one client go to the same pod.
ServiceSpec.loadBalancerIP The address wanted from the load balancer.
ServicePort A port of a service.
ServicePort.port The port of the service.
ServicePort.targetPort Number or name of the port of the pods; the same as port when absent.
ServicePort.nodePort The port on every node: 30000 to 32767.
ServicePort.protocol TCP, UDP or SCTP; TCP when absent.
ServicePort.name Name of the port; needed when there are several.
Endpoints The addresses behind a service.
EndpointSlice A part of the addresses behind a service.
EndpointSlice.addressType IPv4, IPv6 or FQDN.
EndpointSlice.endpoints The addresses, each with its conditions.
EndpointSlice.ports The ports of all of them.
ConfigMap Configuration as keys and values.
ConfigMap.data Values that are text.
ConfigMap.binaryData Values that are bytes, in base64.
ConfigMap.immutable The values can no longer be changed.
Secret Keys and values that are not for everybody.
Secret.data Values in base64.
Secret.stringData Values in the clear; the server moves them to data.
Secret.type What the keys are for: Opaque, kubernetes.io/tls and others.
Secret.immutable The values can no longer be changed.
ServiceAccount An identity for pods.
Event Something that happened to an object.
Event.involvedObject The object.
Event.reason The cause in one word.
Event.message What happened, for readers.
Event.type Normal or Warning.
Event.count How often it happened.
Deployment Keeps a number of equal pods running, and replaces them step by step when their template changes.
DeploymentSpec.replicas How many pods there shall be; 1 when absent.
DeploymentSpec.selector The pods that belong to the deployment. Cannot be changed.
DeploymentSpec.template How the pods look.
DeploymentSpec.strategy How old pods are replaced: RollingUpdate or Recreate.
DeploymentSpec.minReadySeconds Seconds a pod must have been ready to count as available.
DeploymentSpec.revisionHistoryLimit How many old replica sets are kept for rolling back.
DeploymentSpec.paused Changes of the template have no effect for now.
DeploymentSpec.progressDeadlineSeconds Seconds without progress after which a rollout counts as failed.
DeploymentStatus.replicas Pods there are.
DeploymentStatus.readyReplicas Pods that are ready.
DeploymentStatus.updatedReplicas Pods made from the newest template.
DeploymentStatus.availableReplicas Pods that have been ready for minReadySeconds.
DeploymentStatus.conditions Available, Progressing, ReplicaFailure.
ReplicaSet Keeps a number of equal pods running.
ReplicaSetSpec.replicas How many pods there shall be; 1 when absent.
ReplicaSetSpec.selector The pods that belong to the set. Cannot be changed.
ReplicaSetSpec.template How the pods look.
DaemonSet Runs one pod on every node that fits.
DaemonSetSpec.selector The pods that belong to the set. Cannot be changed.
DaemonSetSpec.template How the pods look.
DaemonSetSpec.updateStrategy How old pods are replaced: RollingUpdate or OnDelete.
StatefulSet Keeps pods with names and storage that stay.
StatefulSetSpec.replicas How many pods there shall be; 1 when absent.
StatefulSetSpec.serviceName The service that gives the pods names in DNS.
StatefulSetSpec.template How the pods look.
StatefulSetSpec.podManagementPolicy One after the other (OrderedReady), or all at once (Parallel).
Job Runs pods until enough of them have succeeded.
CronJob Makes jobs by the clock.
Lease Says who does something now; others wait until it is not renewed.
NetworkPolicy Which traffic pods may receive and send.
NetworkPolicySpec.podSelector The pods that the policy is for; an empty one selects all of the namespace.
NetworkPolicySpec.policyTypes Ingress, Egress or both.
NetworkPolicySpec.ingress What may reach the pods; nothing when there is no rule.
NetworkPolicySpec.egress What the pods may send; nothing when there is no rule and Egress is in policyTypes.
Ingress HTTP from outside to services.
Role Rights within a namespace.
ClusterRole Rights in all namespaces, and for what is in none.
RoleBinding Gives the rights of a role to users within a namespace.
ClusterRoleBinding Gives the rights of a cluster role to users.
PodDisruptionBudget How many pods of a group may be missing at a time.
PriorityClass How important pods are.
CustomResourceDefinition Adds a kind to the API.
CustomResourceDefinitionSpec.group Group of the kind.
CustomResourceDefinitionSpec.names What the kind is called.
CustomResourceDefinitionSpec.scope Namespaced or Cluster.
CustomResourceDefinitionSpec.versions Its versions, each with a schema.
`;

let parsed: ReadonlyMap<string, string> | undefined;

/** The sentence about a type or a field. What is true of the fields of every object is said once. */
export function documentationOf(path: string): string | undefined {
  parsed ??= new Map(
    lines
      .trim()
      .split('\n')
      .map((line) => {
        const space = line.indexOf(' ');
        return [line.slice(0, space), line.slice(space + 1)] as const;
      }),
  );
  return (
    parsed.get(path) ?? parsed.get(path.replace(/^[A-Za-z]+\.(?=(apiVersion|kind|metadata)$)/, 'Object.'))
  );
}
