// The life of a resource group with a virtual network and a subnet, by the packages that Terraform's azurerm provider
// is built upon: read (it is not there), create, poll, read, change, read, delete, read (it is gone).
package main

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"os"
	"time"

	"github.com/hashicorp/go-azure-helpers/lang/pointer"
	"github.com/hashicorp/go-azure-helpers/lang/response"
	"github.com/hashicorp/go-azure-helpers/resourcemanager/commonids"
	"github.com/hashicorp/go-azure-sdk/resource-manager/network/2024-05-01/subnets"
	"github.com/hashicorp/go-azure-sdk/resource-manager/network/2024-05-01/virtualnetworks"
	"github.com/hashicorp/go-azure-sdk/resource-manager/resources/2024-03-01/resourcegroups"
	"github.com/hashicorp/go-azure-sdk/sdk/auth"
	"github.com/hashicorp/go-azure-sdk/sdk/environments"
)

const location = "westeurope"

type clients struct {
	groups   *resourcegroups.ResourceGroupsClient
	networks *virtualnetworks.VirtualNetworksClient
	subnets  *subnets.SubnetsClient
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	all, err := connect(ctx)
	if err != nil {
		log.Fatalf("connecting: %v", err)
	}
	if err := live(ctx, all); err != nil {
		log.Fatal(err)
	}
	fmt.Println("everything was made, read, changed and deleted")
}

// connect logs in as azurerm does with ARM_METADATA_HOSTNAME and a client secret.
func connect(ctx context.Context) (*clients, error) {
	environment, err := environments.FromEndpoint(ctx, os.Getenv("EMULATOR_URL"))
	if err != nil {
		return nil, fmt.Errorf("reading the cloud's metadata: %w", err)
	}
	credentials := auth.Credentials{
		Environment:                           *environment,
		ClientID:                              os.Getenv("ARM_CLIENT_ID"),
		ClientSecret:                          os.Getenv("ARM_CLIENT_SECRET"),
		TenantID:                              os.Getenv("ARM_TENANT_ID"),
		EnableAuthenticatingUsingClientSecret: true,
	}
	authorizer, err := auth.NewAuthorizerFromCredentials(ctx, credentials, environment.ResourceManager)
	if err != nil {
		return nil, fmt.Errorf("making an authorizer: %w", err)
	}
	all := &clients{}
	if all.groups, err = resourcegroups.NewResourceGroupsClientWithBaseURI(environment.ResourceManager); err != nil {
		return nil, err
	}
	if all.networks, err = virtualnetworks.NewVirtualNetworksClientWithBaseURI(environment.ResourceManager); err != nil {
		return nil, err
	}
	if all.subnets, err = subnets.NewSubnetsClientWithBaseURI(environment.ResourceManager); err != nil {
		return nil, err
	}
	all.groups.Client.Authorizer = authorizer
	all.networks.Client.Authorizer = authorizer
	all.subnets.Client.Authorizer = authorizer
	return all, nil
}

func live(ctx context.Context, all *clients) error {
	subscription := os.Getenv("ARM_SUBSCRIPTION_ID")
	group := commonids.NewResourceGroupID(subscription, "rg-go")
	network := commonids.NewVirtualNetworkID(subscription, "rg-go", "vnet")
	nodes := commonids.NewSubnetID(subscription, "rg-go", "vnet", "nodes")

	if found, err := all.groups.Get(ctx, group); !response.WasNotFound(found.HttpResponse) {
		return fmt.Errorf("%s should not be there: %v", group, err)
	}
	tags := map[string]string{"team": "climate"}
	made, err := all.groups.CreateOrUpdate(ctx, group, resourcegroups.ResourceGroup{Location: location, Tags: &tags})
	if err != nil {
		return fmt.Errorf("creating %s: %w", group, err)
	}
	if made.HttpResponse.StatusCode != http.StatusCreated {
		return fmt.Errorf("creating %s answered %d", group, made.HttpResponse.StatusCode)
	}

	if found, err := all.networks.Get(ctx, network, virtualnetworks.DefaultGetOperationOptions()); !response.WasNotFound(found.HttpResponse) {
		return fmt.Errorf("%s should not be there: %v", network, err)
	}
	body := virtualnetworks.VirtualNetwork{
		Location: pointer.To(location),
		Properties: &virtualnetworks.VirtualNetworkPropertiesFormat{
			AddressSpace: &virtualnetworks.AddressSpace{AddressPrefixes: &[]string{"10.40.0.0/16"}},
		},
	}
	if err := all.networks.CreateOrUpdateThenPoll(ctx, network, body); err != nil {
		return fmt.Errorf("creating %s: %w", network, err)
	}
	prefix := subnets.Subnet{Properties: &subnets.SubnetPropertiesFormat{AddressPrefix: pointer.To("10.40.1.0/24")}}
	if err := all.subnets.CreateOrUpdateThenPoll(ctx, nodes, prefix); err != nil {
		return fmt.Errorf("creating %s: %w", nodes, err)
	}

	read, err := all.networks.Get(ctx, network, virtualnetworks.DefaultGetOperationOptions())
	if err != nil {
		return fmt.Errorf("reading %s: %w", network, err)
	}
	if found := *read.Model.Properties.Subnets; len(found) != 1 || *found[0].Properties.AddressPrefix != "10.40.1.0/24" {
		return fmt.Errorf("%s has the wrong subnets: %v", network, found)
	}
	read.Model.Tags = &tags
	if err := all.networks.CreateOrUpdateThenPoll(ctx, network, *read.Model); err != nil {
		return fmt.Errorf("changing %s: %w", network, err)
	}
	again, err := all.networks.Get(ctx, network, virtualnetworks.DefaultGetOperationOptions())
	if err != nil {
		return fmt.Errorf("reading %s again: %w", network, err)
	}
	if len(*again.Model.Properties.Subnets) != 1 || (*again.Model.Tags)["team"] != "climate" {
		return fmt.Errorf("%s was not changed as asked: %v", network, again.Model)
	}

	if err := all.subnets.DeleteThenPoll(ctx, nodes); err != nil {
		return fmt.Errorf("deleting %s: %w", nodes, err)
	}
	if err := all.networks.DeleteThenPoll(ctx, network); err != nil {
		return fmt.Errorf("deleting %s: %w", network, err)
	}
	if found, err := all.networks.Get(ctx, network, virtualnetworks.DefaultGetOperationOptions()); !response.WasNotFound(found.HttpResponse) {
		return fmt.Errorf("%s should be gone: %v", network, err)
	}
	if err := all.groups.DeleteThenPoll(ctx, group, resourcegroups.DefaultDeleteOperationOptions()); err != nil {
		return fmt.Errorf("deleting %s: %w", group, err)
	}
	if found, err := all.groups.Get(ctx, group); !response.WasNotFound(found.HttpResponse) {
		return fmt.Errorf("%s should be gone: %v", group, err)
	}
	return nil
}
